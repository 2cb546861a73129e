"""Training on every device there is, and without a hidden copy from device to host on those that are not here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bioseg import recipes
from bioseg.datasets import augment
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import InMemory
from bioseg.inference.device import autocast
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.recipe import SegmentationRecipe, TranslationRecipe
from bioseg.specs import call
from bioseg.training import fit_segmenter as loop
from bioseg.training import losses
from bioseg.training.fit_segmenter import confusion_counts, fit_segmenter
from bioseg.training.fit_translator import Domains, fit_translator
from bioseg.training.run import Run
from bioseg.training.validation import validate
from tests.on_device import DeviceSamples, OnDevice, uploaded
from tests.training.small import RECORD, SIZE, samples, segmentation


def translation(**training: object) -> TranslationRecipe:
    recipe = recipes.get("cxr-cyclegan-unet")
    assert isinstance(recipe, TranslationRecipe)
    return replace(
        recipe,
        preparation=replace(recipe.preparation, size_px=(8, 8)),
        generator=call(nn.Conv2d, in_channels=1, out_channels=1, kernel_size=3, padding=1),
        discriminator=call(nn.Conv2d, in_channels=1, out_channels=1, kernel_size=4, stride=4),
        training=replace(recipe.training, **{"epochs": 2, "pool": 3, "keep_every": 1, **training}),
    )


PRETRAINED = call(pretrained_unet, imagenet=False, widths=(16, 16, 16))


def segment(
    folder: Path,
    device: torch.device,
    wrap: Callable[[InMemory], Any] = lambda x: x,
    recipe: SegmentationRecipe | None = None,
) -> Run:
    with Run(folder, RECORD, seed=0, device=device, resume=False) as run:
        fit_segmenter(run, recipe or segmentation(), wrap(samples(4, 0)), wrap(samples(3, 1)))
    return run


def translate(folder: Path, device: torch.device, wrap: Callable[[InMemory], Any] = lambda x: x) -> Run:
    train, monitored = (Domains(wrap(samples(3, seed, 8)), wrap(samples(2, seed + 1, 8))) for seed in (0, 2))
    with Run(folder, RECORD, seed=0, device=device, resume=False) as run:
        fit_translator(run, translation(), train, monitored)
    return run


class TestEveryDevice:
    def test_a_segmenter_is_trained_validated_and_resumed(self, tmp_path: Path, device: torch.device) -> None:
        recipe = replace(segmentation(encoder_learning_rate=1e-4), network=PRETRAINED)
        run = segment(tmp_path, device, recipe=recipe)
        row = run.history[0]
        assert np.isfinite([row[name] for name in ("loss", "validation_loss", "training_dice", "dice")]).all()
        assert (tmp_path / "best.safetensors").stat().st_size > 0
        recipe = replace(recipe, training=replace(recipe.training, epochs=2))
        with Run(tmp_path, RECORD, seed=0, device=device, resume=True) as run:
            network = fit_segmenter(run, recipe, samples(4, 0), samples(3, 1))
        assert len(run.history) == 2 and next(network.parameters()).device.type == device.type

    def test_a_translator_is_trained(self, tmp_path: Path, device: torch.device) -> None:
        run = translate(tmp_path, device)
        assert np.isfinite([run.history[-1][name] for name in ("loss", "cycle", "monitored_cycle")]).all()
        assert (tmp_path / "images" / "002.png").exists()

    def test_confusion_counts_stay_on_the_device(self, device: torch.device) -> None:
        predicted = torch.tensor([[True, True, False, False, True]], device=device)
        truth = torch.tensor([[True, False, True, False, True]], device=device)
        counts = confusion_counts(predicted, truth)
        assert counts.device.type == device.type
        assert counts.tolist() == [2, 1, 1, 1]

    def test_bfloat16_trains_where_it_is_supported_and_losses_stay_in_single_precision(
        self, device: torch.device
    ) -> None:
        network, images = nn.Conv2d(1, 1, 3, padding=1).to(device), torch.rand(2, 1, 8, 8, device=device)
        with autocast(device, bfloat16_on_cpu=True):
            logits = network(images)
        cpu = torch.cpu.get_capabilities().get("avx512_bf16")
        supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and cpu
        assert logits.dtype == (torch.bfloat16 if supported else torch.float32)
        loss = losses.cross_entropy_and_dice(logits, (images > 0.5).float())
        assert loss.dtype == torch.float32 and loss.isfinite()
        if device.type == "cpu":
            with autocast(device):
                assert network(images).dtype == torch.float32, "prediction on a CPU is in single precision"


@pytest.mark.parametrize("network", [lambda: pretrained_unet(imagenet=False), lambda: nn.Conv2d(1, 1, 3, padding=1)])
def test_a_step_in_bfloat16_on_the_cpu_has_finite_gradients(network: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module, images = network(), torch.rand(2, 1, SIZE, SIZE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module(images)
    losses.cross_entropy_and_dice(logits, (images > 0.5).float()).backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in module.parameters())


class TestHiddenCopies:
    """On a machine without a GPU: the loops run on tensors that refuse to become NumPy arrays by themselves."""

    CPU = torch.device("cpu")

    @pytest.mark.parametrize("bfloat16", [False, True])
    def test_a_segmenter_s_loop_has_none(self, tmp_path: Path, bfloat16: bool) -> None:
        run = segment(tmp_path / "device", self.CPU, DeviceSamples, segmentation(bfloat16=bfloat16))
        plain = segment(tmp_path / "host", self.CPU, recipe=segmentation(bfloat16=bfloat16))
        for ours, theirs in zip(run.history, plain.history, strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}

    def test_a_translator_s_loop_has_none(self, tmp_path: Path) -> None:
        run, plain = translate(tmp_path / "device", self.CPU, DeviceSamples), translate(tmp_path / "host", self.CPU)
        for ours, theirs in zip(run.history, plain.history, strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}

    def test_one_in_a_training_step_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The fault there once was: counts taken by NumPy from the device's tensors."""

        def by_numpy(predicted: Tensor, truth: Tensor) -> Tensor:
            one, other = np.asarray(predicted), np.asarray(truth)
            return torch.tensor(
                [(one & other).sum(), (one & ~other).sum(), (~one & other).sum(), (~one & ~other).sum()]
            )

        monkeypatch.setattr(loop, "confusion_counts", by_numpy)
        segment(tmp_path / "host", self.CPU)
        with pytest.raises(TypeError, match="device tensor"):
            segment(tmp_path / "device", self.CPU, DeviceSamples)

    @pytest.mark.parametrize("leak", [np.array, np.asarray, Tensor.numpy, lambda x: x.detach().numpy()])
    def test_one_in_the_loss_is_found_in_training_and_in_validation(
        self, tmp_path: Path, leak: Callable[[Tensor], object]
    ) -> None:
        def leaking(logits: Tensor, truth: Tensor) -> Tensor:
            leak(truth)
            return losses.soft_dice(logits, truth)

        recipe = segmentation(loss=call(leaking))
        with (
            Run(tmp_path, RECORD, seed=0, device=self.CPU, resume=False) as run,
            pytest.raises(TypeError, match="device tensor"),
        ):
            fit_segmenter(run, recipe, DeviceSamples(samples(4, 0)), samples(3, 1))  # type: ignore[arg-type]
        network = nn.Conv2d(1, 1, 1)
        with pytest.raises(TypeError, match="device tensor"):
            validate(network, DeviceSamples(samples(3, 1)), recipe)  # type: ignore[arg-type]

    def test_explicit_copies_are_none(self) -> None:
        there = uploaded(torch.arange(4.0))
        assert type(there * 2) is type(there) is OnDevice
        assert np.array_equal(there.cpu().numpy(), [0, 1, 2, 3]) and np.array_equal(there.to("cpu"), [0, 1, 2, 3])
        assert (there.sum().item(), there.tolist()) == (6, [0, 1, 2, 3])


def test_a_step_without_data_runs_on_meta() -> None:
    """Shapes alone: an operation that needs values on the host stops here."""
    meta = torch.device("meta")
    with meta:
        network, images = pretrained_unet(imagenet=False), torch.empty(2, 1, SIZE, SIZE)
        masks = torch.empty(2, 1, SIZE, SIZE)
    how = Augmentation(
        rotation_deg=20.0, shift=0.1, gamma=0.3, contrast=0.2, offset=0.1, bias_field=0.2, bias_chance=1.0
    )
    changes = augment.draw(how, np.random.default_rng(0), 2, (SIZE, SIZE))
    images, masks = augment.apply(images, masks, changes)
    logits = network(images)
    for loss in (
        losses.cross_entropy_and_dice,
        losses.half_cross_entropy_half_iou,
        losses.cross_entropy_and_image_dice,
    ):
        loss(logits, masks).backward(retain_graph=True)
    assert all(one.grad is not None and one.grad.device == meta for one in network.parameters())
    counts = confusion_counts(logits.detach()[:, 0] > 0, masks[:, 0] > 0.5)
    assert counts.device == meta and counts.shape == (4,)
