"""The CycleGAN's loop: losses by hand, networks updated in turn, and resumption bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bioseg import recipes
from bioseg.datasets.samples import InMemory
from bioseg.models.cyclegan import Pair
from bioseg.models.weights import load_into
from bioseg.recipe import TranslationRecipe
from bioseg.specs import call
from bioseg.training.adversarial import CycleGan, step
from bioseg.training.fit_translator import Domains, fit_translator, monitor
from bioseg.training.run import Run
from bioseg.types import BiosegError, Case

CPU = torch.device("cpu")


class Times(nn.Module):
    """A generator that multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Says(nn.Module):
    """A discriminator that ignores its images."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.tensor(score))

    def forward(self, x: Tensor) -> Tensor:
        return self.score.expand(len(x), 1, 2, 2) + 0 * x.mean()


def tiny(**training: object) -> TranslationRecipe:
    recipe = recipes.get("cxr-cyclegan-unet")
    assert isinstance(recipe, TranslationRecipe)
    return replace(
        recipe,
        preparation=replace(recipe.preparation, size_px=(8, 8)),
        generator=call(nn.Conv2d, in_channels=1, out_channels=1, kernel_size=3, padding=1),
        discriminator=call(nn.Conv2d, in_channels=1, out_channels=1, kernel_size=4, stride=4),
        training=replace(recipe.training, **{"learning_rate": 0.01, "pool": 3, "keep_every": 2, **training}),
    )


def samples(count: int, seed: int) -> InMemory:
    images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    cases = [Case(str(index), str(index), Path(f"{index}.png")) for index in range(count)]
    return InMemory(cases, (), images, torch.zeros(count, 1, 8, 8, dtype=torch.uint8))


RECORD = {"format": 2, "name": "small", "recipe": {}, "fingerprint": "f"}
TRAIN, MONITORED = Domains(samples(5, 0), samples(3, 1)), Domains(samples(2, 2), samples(1, 3))


def fit(folder: Path, epochs: int, *, resume: bool = False) -> None:
    recipe = tiny(epochs=epochs)
    with Run(folder, RECORD, seed=recipe.training.seed, device=CPU, resume=resume) as run:
        fit_translator(run, recipe, TRAIN, MONITORED)


def by_hand(forwards: float, backwards: float, score: float) -> tuple[CycleGan, torch.optim.Optimizer]:
    gan = CycleGan(tiny())
    gan.pair = Pair(Times(forwards), Times(backwards))
    gan.of_source, gan.of_target = Says(score), Says(score)
    return gan, torch.optim.Adam(gan.parameters(), lr=0.1)


def test_the_losses_by_hand() -> None:
    gan, optimiser = by_hand(2.0, 0.25, 0.5)
    source, target = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), -0.4)
    found = step(gan, optimiser, source, target, tiny().training, np.random.default_rng(0))
    adversarial = 2 * (1 - 0.5) ** 2
    identity = abs(2 * -0.4 + 0.4) + abs(0.25 * 0.2 - 0.2)
    cycle = abs(0.5 * 0.2 - 0.2) + abs(0.5 * -0.4 + 0.4)
    assert found["adversarial"] == pytest.approx(adversarial)
    assert found["identity"] == pytest.approx(identity)
    assert found["cycle"] == pytest.approx(cycle)
    assert found["loss"] == pytest.approx(adversarial + 5 * identity + 10 * cycle)
    assert found["discriminators"] == pytest.approx(2 * (0.5**2 + 0.5**2) / 2)
    assert gan.made_target.images[0].unique().tolist() == pytest.approx([0.4])
    assert gan.made_source.images[0].unique().tolist() == pytest.approx([-0.1])


def test_perfect_generators_change_nothing_and_cost_nothing() -> None:
    gan, optimiser = by_hand(1.0, 1.0, 1.0)
    images = torch.rand(2, 1, 8, 8)
    found = step(gan, optimiser, images, 1 - images, tiny().training, np.random.default_rng(0))
    assert found["loss"] == found["adversarial"] == found["identity"] == found["cycle"] == 0
    scores, groups = monitor(Pair(nn.Identity(), nn.Identity()), MONITORED, CPU)
    assert set(scores.values()) == {0.0}
    assert [len(group) for group in groups] == [2, 2, 2, 1, 1, 1]
    for given, translated, reconstructed in (groups[:3], groups[3:]):
        assert torch.equal(given, translated) and torch.equal(given, reconstructed)
    assert torch.equal(groups[0], MONITORED.source._images * 2 - 1)


def test_a_network_is_updated_by_its_own_loss_alone() -> None:
    torch.manual_seed(0)
    gan = CycleGan(tiny())
    optimiser = torch.optim.SGD(gan.parameters(), lr=0.0)
    real, other = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    step(gan, optimiser, real, other, tiny(pool=0).training, np.random.default_rng(0))
    assert all(p.grad is None for p in gan.pair.parameters()), "the discriminators' loss must not reach the generators"
    expected = CycleGan(tiny())
    expected.load_state_dict(gan.state_dict())
    made = expected.pair.forwards(real).detach()
    ((expected.of_target(other) - 1).square().mean() / 2 + expected.of_target(made).square().mean() / 2).backward()
    for a, b in zip(gan.of_target.parameters(), expected.of_target.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad)


def test_one_optimiser_moves_everything_once_a_step() -> None:
    gan = CycleGan(tiny())
    optimiser = tiny().training.optimiser([{"params": list(gan.parameters()), "lr": 0.01}])
    assert optimiser.param_groups[0]["betas"] == (0.5, 0.999)
    before = [parameter.clone() for parameter in gan.parameters()]
    step(gan, optimiser, torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8), tiny().training, np.random.default_rng(0))
    assert all(not torch.equal(a, b) for a, b in zip(before, gan.parameters(), strict=True))
    assert {float(state["step"]) for state in optimiser.state.values()} == {1.0}
    assert len(optimiser.state) == len(before)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(whole, 4)
    for epochs in (1, 3, 4):
        fit(broken, epochs, resume=True)
    for name in (
        "best.safetensors", "last/network.safetensors", "last/optimiser.safetensors", "epochs/002.safetensors",
        "epochs/004.safetensors", *(f"images/{epoch:03d}.png" for epoch in (1, 2, 3, 4)),
    ):  # fmt: skip
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    journals = [
        [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()] for run in (whole, broken)
    ]
    for rows in journals:
        assert all(row.pop("seconds") > 0 for row in rows)
    assert journals[0] == journals[1]
    assert {
        "loss",
        "cycle",
        "identity",
        "adversarial",
        "discriminators",
        "monitored_cycle",
        "monitored_identity",
    } <= set(journals[0][-1])
    assert list((whole / "tensorboard").glob("events.*"))


def test_the_newest_generators_are_kept_and_every_second_epoch_s(tmp_path: Path) -> None:
    fit(tmp_path, 3)
    kept = {path.name for path in (tmp_path / "epochs").iterdir()}
    assert kept == {"002.safetensors"}
    recipe = tiny()
    newest, second = (Pair(recipe.generator(), recipe.generator()) for _ in range(2))
    load_into(newest, tmp_path / "best.safetensors")
    load_into(second, tmp_path / "epochs" / "002.safetensors")
    assert not torch.equal(newest.forwards.weight, second.forwards.weight)
    _, groups = monitor(newest, MONITORED, CPU)
    shown = np.asarray(Image.open(tmp_path / "images" / "003.png"))
    assert shown.shape == (6 * 8, 2 * 8)
    assert np.array_equal(shown[8:16, 8:], np.rint((groups[1][1, 0].numpy() / 2 + 0.5).clip(0, 1) * 255))
    assert not shown[24:, 8:].any(), "the target has only one image"


def test_the_cycle_loss_falls(tmp_path: Path) -> None:
    recipe = tiny(epochs=30, learning_rate=0.02)
    with Run(tmp_path, RECORD, seed=0, device=CPU, resume=False) as run:
        fit_translator(run, recipe, TRAIN, MONITORED)
    assert run.history[-1]["monitored_cycle"] < 0.7 * run.history[0]["monitored_cycle"]


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    recipe = tiny(learning_rate=1e30, epochs=3)
    with (
        Run(tmp_path, RECORD, seed=0, device=CPU, resume=False) as run,
        pytest.raises(BiosegError, match=r"training\.learning_rate"),
    ):
        fit_translator(run, recipe, TRAIN, MONITORED)
