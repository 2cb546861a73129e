"""The loop that fits a CycleGAN (Zhu et al. 2017) to unpaired images of two sides.

No loss says which epoch translates best: the cycle is shortest for generators that change nothing. So the last epoch's
weights are used, and every epoch leaves its images, by which a person may choose an earlier one. All is computed in
float32, since bfloat16 would leave an image too few shades.
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
    """Images of both, unpaired."""

    source: Samples
    target: Samples


def fit_translator(
    run: Run, recipe: TranslationRecipe, train: Domains, monitored: Domains, callbacks: Callbacks = SILENT
) -> None:
    """Fit the recipe's networks, or go on fitting them, until the epochs are done.

    An epoch shows every image of the larger side once, and as many of the smaller one. It leaves ``images/NNN.png``,
    see :func:`mosaic`, and every ``training.keep_every`` of them ``epochs/NNN.safetensors`` with the generators.

    Args:
        run: Receives journal, images, best (the newest generators) and last weights.
        recipe: How.
        train: What to learn from.
        monitored: Never learned from; translated and reconstructed after every epoch.
        callbacks: Hears of every step and epoch.

    Raises:
        BiosegError: A loss is no number, or no image of a side can be read any more.
    """
    how, device = recipe.training, run.device
    torch.manual_seed(how.seed)
    gan = CycleGan(recipe)
    place(gan, device)
    optimiser = how.optimiser([{"params": list(gan.parameters()), "lr": how.learning_rate, "base": how.learning_rate}])
    run.restore(gan, optimiser)
    count = max(len(side.cases) for side in train)

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
                f"{run.folder}: no image of a side can be read any more; put the files back, then --resume"
            )
        scores, views = monitor(gan.pair, monitored, device)
        png.write_bytes(run.folder / "images" / f"{epoch + 1:03d}.png", prepare.to_bytes(mosaic(views)))
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
    """What becomes of images that were not learned from.

    Returns:
        ``monitored_cycle``, how far they are from their reconstructions, and ``monitored_identity``, from what the generator
        into their own side makes of them: mean absolute differences in [−1, 1], summed over both sides. And source,
        translated, reconstructed, then target, translated, reconstructed, [K, 1, rows, cols] in [−1, 1] each.
    """
    cycle, identity, views = 0.0, 0.0, []
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
        views += [given, *ways]
    return {"monitored_cycle": cycle, "monitored_identity": identity}, views


def mosaic(views: list[Tensor]) -> ImageArray:
    """All views in one image in [0, 1]: a row a view, a column an image, black where a row has fewer."""
    rows = [np.concatenate(list(view[:, 0].cpu().numpy()), axis=1) / 2 + 0.5 for view in views]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])


def _batches(
    train: Domains, size: int, count: int, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of batches in [−1, 1], until ``count`` images of each side were shown."""
    orders = [_order(rng, len(side.cases), count) for side in train]
    both = [side.batches(order, size, rng) for side, order in zip(train, orders, strict=True)]
    for source, target in zip(*both, strict=False):  # a side whose files turn bad on the way is shorter
        yield _signed(source.images, device), _signed(target.images, device)


def _order(rng: np.random.Generator, there: int, count: int) -> list[int]:
    """Fresh orders of all that are there, one after the other, cut at ``count``."""
    order: list[int] = np.concatenate([rng.permutation(there) for _ in range(-(-count // there))])[:count].tolist()
    return order


def _signed(images: Tensor, device: torch.device) -> Tensor:
    """From [0, 1] to [−1, 1]."""
    return (images.to(device) * 2 - 1).contiguous(memory_format=MEMORY_FORMAT)
