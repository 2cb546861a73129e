"""The loop that fits a segmentation network."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from bioseg.data import augment
from bioseg.data.dataset import Samples
from bioseg.evaluation import overlap
from bioseg.inference import ensemble
from bioseg.inference.device import FORMAT, autocast, place
from bioseg.inference.postprocess import Postprocess, apply
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.training.run import Run
from bioseg.training.schedules import Moment, patience_exhausted
from bioseg.types import BiosegError


@dataclass(frozen=True)
class Watch:
    """Whom the loop tells how it stands; the default tells nobody.

    Attributes:
        step: (epoch from 0, pictures done in it, pictures in it, mean loss so far).
        epoch: (the journal's row).
    """

    step: Callable[[int, int, int, float], None] = lambda epoch, done, total, loss: None
    epoch: Callable[[dict[str, Any]], None] = lambda row: None


def fit_segmenter(
    run: Run, recipe: SegmentationRecipe, train: Samples, validation: Samples, watch: Watch = Watch()
) -> None:
    """Fit the recipe's network, or go on fitting it, until the epochs are done or patience is exhausted.

    Args:
        run: Receives journal, best and last weights.
        recipe: How.
        train: What to learn from.
        validation: What decides which weights are best; never learned from.
        watch: Hears of every step and epoch.
    """
    how, device = recipe.training, run.device
    torch.manual_seed(how.seed)
    network = place(recipe.network(), device)
    optimiser = how.optimiser(_groups(network, how))
    run.restore(network, optimiser)

    for epoch in run.epochs(
        how.epochs, lambda losses: patience_exhausted(losses, patience=how.patience, min_delta=how.min_delta)
    ):
        started, done, total_loss = time.perf_counter(), 0, 0.0
        rng = run.rng(epoch)
        order = _order(rng, len(train.cases), how.batch)
        counts = np.zeros(4)
        network.train()
        for batch in train.batches(order, how.batch, rng):
            rate = how.schedule(Moment(epoch + done / len(order), how.epochs, run.validation_losses))
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * rate
            pictures, masks = batch.pictures.to(device), batch.masks.to(device)
            turn = augment.draw(recipe.augmentation, rng, len(pictures), (pictures.shape[-2], pictures.shape[-1]))
            pictures, masks = augment.apply(pictures, masks, turn)
            with autocast(device, bfloat16_on_cpu=how.bfloat16):
                logits = network(pictures.contiguous(memory_format=FORMAT))
            loss = how.loss(logits, masks)
            if not loss.isfinite():
                raise BiosegError(
                    f"{run.folder}: loss is {loss.item()} in epoch {epoch + 1}; --set training.rate=… lower"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += len(pictures)
            total_loss += loss.item() * len(pictures)
            counts += _counts(logits.detach()[:, 0] > 0, masks[:, 0] > 0.5)
            watch.step(epoch, done, len(order), total_loss / done)
        row = {
            "rate": optimiser.param_groups[-1]["lr"],
            "loss": total_loss / done,
            "training_dice": _ratio(2 * counts[0], 2 * counts[0] + counts[1] + counts[2]),
            "training_accuracy": _ratio(counts[0] + counts[3], counts.sum()),
            **validate(network, validation, recipe),
            "seconds": time.perf_counter() - started,
        }
        run.finish_epoch(network, optimiser, row)
        watch.epoch(run.history[-1])
    run.close()


def validate(network: nn.Module, samples: Samples, recipe: SegmentationRecipe) -> dict[str, float]:
    """Loss and mean scores of a network on the prepared grid, at the recipe's threshold without clean-up.

    Returns:
        ``validation_loss``, and mean over pictures of ``dice``, ``iou``, ``accuracy`` (undefined ones left out).
    """
    network.eval()
    device = next(network.parameters()).device
    threshold = Postprocess(threshold=recipe.postprocess.threshold)
    losses, sizes, rows = [], [], []
    for batch in samples.batches(range(len(samples.cases)), recipe.training.validation_batch):
        logits = ensemble.logits(network, batch.pictures.to(device))
        losses.append(float(recipe.training.loss(logits, batch.masks.to(device))))
        sizes.append(len(batch.pictures))
        for probability, truth in zip(
            logits.sigmoid().cpu().numpy()[:, 0], batch.masks.numpy()[:, 0] > 0.5, strict=True
        ):
            confusion = overlap.confusion(apply(probability, threshold), truth)
            rows.append((overlap.dice(confusion), overlap.iou(confusion), overlap.accuracy(confusion)))
    scores = [float(np.nanmean(column)) if np.isfinite(column).any() else 0.0 for column in np.array(rows).T]
    return {
        "validation_loss": float(np.average(losses, weights=sizes)),
        **dict(zip(("dice", "iou", "accuracy"), scores, strict=True)),
    }


def _groups(network: nn.Module, how: Training) -> list[dict[str, Any]]:
    """Parameter groups with their base rate; a pretrained encoder may learn slower than the rest."""
    if how.encoder_rate is None:
        return [{"params": list(network.parameters()), "lr": how.rate, "base": how.rate}]
    encoder = list(network.get_submodule("encoder").parameters())
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [
        {"params": encoder, "lr": how.encoder_rate, "base": how.encoder_rate},
        {"params": rest, "lr": how.rate, "base": how.rate},
    ]


def _order(rng: np.random.Generator, count: int, batch: int) -> list[int]:
    """A fresh order; a lone last picture is left out this time, since batch statistics need company."""
    order: list[int] = rng.permutation(count).tolist()
    return order[:-1] if batch > 1 and count > batch and count % batch == 1 else order


def _counts(predicted: torch.Tensor, truth: torch.Tensor) -> "np.ndarray[Any, Any]":
    """True positive, false positive, false negative and true negative pixels of a batch."""
    both, either, true = (predicted & truth).sum(), predicted.sum(), truth.sum()
    return np.array([both, either - both, true - both, truth.numel() - either - true + both], dtype=float)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
