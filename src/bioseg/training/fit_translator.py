"""The training loop of a CycleGAN (Zhu et al. 2017) on unpaired images of two domains.

No loss says which epoch translates best: the cycle loss is lowest for generators that change nothing. So the last epoch's
weights are used, and every epoch writes translated images, by which a person may choose an earlier one. Everything is computed
in float32: bfloat16 would leave an image too few grey levels.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bioseg import files
from bioseg.datasets.samples import Samples
from bioseg.images import png, prepare
from bioseg.inference.device import MEMORY_FORMAT, place
from bioseg.models import weights
from bioseg.models.cyclegan import Pair
from bioseg.recipe import TranslationRecipe
from bioseg.training.adversarial import CycleGan, step
from bioseg.training.run import Run
from bioseg.training.schedules import TrainState
from bioseg.types import SILENT, BiosegError, Callbacks, ImageArray


class Domains(NamedTuple):
    """Unpaired images of both domains."""

    source: Samples
    target: Samples


def fit_translator(
    run: Run, recipe: TranslationRecipe, train: Domains, monitored: Domains, callbacks: Callbacks = SILENT
) -> None:
    """Train the recipe's networks, or continue to, until the epochs are done.

    An epoch uses every image of the larger domain once, and as many of the smaller one. It writes ``images/NNN.png``, see
    :func:`mosaic`, and every ``training.keep_every`` epochs ``epochs/NNN.safetensors`` with the generators.

    Args:
        run: Open run folder; gets the journal, the images, the best (here the newest) generators and the last weights.
        recipe: How to train.
        train: Training images.
        monitored: Images not trained on, which are translated and reconstructed after every epoch.
        callbacks: Called after every step and epoch.

    Raises:
        BiosegError: A loss is not finite, or no image of a domain can be read any more.
    """
    how, device = recipe.training, run.device
    torch.manual_seed(how.seed)
    gan = CycleGan(recipe)
    place(gan, device)
    optimiser = how.optimiser([{"params": list(gan.parameters()), "lr": how.learning_rate, "base": how.learning_rate}])
    run.restore(gan, optimiser)
    count = max(len(domain.cases) for domain in train)

    for epoch in run.epochs(how.epochs, lambda losses: False):
        started, done, rng = time.perf_counter(), 0, run.rng(epoch)
        sums: dict[str, float] = {}
        for source, target in _batches(train, how.batch_size, count, rng, device):
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * how.schedule(TrainState(epoch + done / count, how.epochs))
            done += len(source)
            for name, value in step(gan, optimiser, source, target, how, rng).items():
                sums[name] = sums.get(name, 0.0) + value * len(source)
            note = f"epoch {epoch + 1}/{how.epochs} · loss {sums['loss'] / done:.4f}"
            callbacks.progress(run.name, epoch * count + done, how.epochs * count, note)
        if not done:
            raise BiosegError(
                f"{run.folder}: no image of a domain can be read any more; restore the files, then --resume"
            )
        scores, groups = monitor(gan.pair, monitored, device)
        png.write_bytes(run.folder / "images" / f"{epoch + 1:03d}.png", prepare.to_bytes(mosaic(groups)))
        if how.keep_every and (epoch + 1) % how.keep_every == 0:
            files.write(run.folder / "epochs" / f"{epoch + 1:03d}.safetensors", weights.dump(gan.pair))
        row: dict[str, Any] = {
            "learning_rate": optimiser.param_groups[0]["lr"],
            **{name: value / done for name, value in sums.items()},
            **scores,
            "seconds": time.perf_counter() - started,
        }
        run.finish_epoch(gan, optimiser, row, keep=gan.pair)
        callbacks.epoch(run.name, run.history[-1])


@torch.inference_mode()
def monitor(pair: Pair, monitored: Domains, device: torch.device) -> tuple[dict[str, float], list[Tensor]]:
    """Translate and reconstruct images that were not trained on.

    Returns:
        ``monitored_cycle``, the mean absolute difference of images and their reconstructions, and ``monitored_identity``, of
        images and what the generator into their own domain makes of them; values in [−1, 1], summed over both domains. Then
        six groups of images, [K, 1, rows, cols] in [−1, 1] each: source, translated, reconstructed; target, translated,
        reconstructed.
    """
    cycle, identity, groups = 0.0, 0.0, []
    for samples, backwards in ((monitored.source, False), (monitored.target, True)):
        batches = samples.batches(range(len(samples.cases)), 1)
        given = torch.cat([_signed(batch.images, device) for batch in batches])
        ways = [
            torch.cat(way)
            for way in zip(*(pair.there_and_back(p, backwards=backwards) for p in given.split(1)), strict=True)
        ]
        own = pair.forwards if backwards else pair.backwards
        same = torch.cat([own(image) for image in given.split(1)])
        cycle += functional.l1_loss(ways[1], given).item()
        identity += functional.l1_loss(same, given).item()
        groups += [given, *ways]
    return {"monitored_cycle": cycle, "monitored_identity": identity}, groups


def mosaic(groups: list[Tensor]) -> ImageArray:
    """All groups of :func:`monitor` in one image in [0, 1]: one row per group, one column per image, black where there is none."""
    rows = [np.concatenate(list(group[:, 0].cpu().numpy()), axis=1) / 2 + 0.5 for group in groups]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])


def _batches(
    train: Domains, size: int, count: int, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of batches in [−1, 1], ``count`` images of each domain."""
    orders = [_order(rng, len(domain.cases), count) for domain in train]
    both = [domain.batches(order, size, rng) for domain, order in zip(train, orders, strict=True)]
    for source, target in zip(*both, strict=False):  # a domain is shorter if its files become unreadable
        yield _signed(source.images, device), _signed(target.images, device)


def _order(rng: np.random.Generator, size: int, count: int) -> list[int]:
    """The first ``count`` of fresh permutations of ``size`` images, one after the other."""
    order: list[int] = np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count].tolist()
    return order


def _signed(images: Tensor, device: torch.device) -> Tensor:
    """From [0, 1] to [−1, 1]."""
    return (images.to(device) * 2 - 1).contiguous(memory_format=MEMORY_FORMAT)
