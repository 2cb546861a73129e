"""The loop that fits a segmentation network."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bioseg.datasets import augment
from bioseg.datasets.samples import Samples
from bioseg.evaluation import overlap
from bioseg.inference.device import MEMORY_FORMAT, autocast, place
from bioseg.postprocess.masks import Postprocess, apply
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.training.run import Run
from bioseg.training.schedules import TrainState, patience_exhausted
from bioseg.types import SILENT, BiosegError, Callbacks


def fit_segmenter(
    run: Run, recipe: SegmentationRecipe, train: Samples, validation: Samples, callbacks: Callbacks = SILENT
) -> nn.Module:
    """Fit the recipe's network, or continue fitting it, until the epochs are done or patience is exhausted.

    Args:
        run: Receives journal, best and last weights.
        recipe: How.
        train: What to train on.
        validation: What decides which weights are best; never trained on.
        callbacks: Hears of every step and epoch.

    Returns:
        The network as it was after the last epoch.

    Raises:
        BiosegError: The loss is not finite, or no training image can be read any more.
    """
    how, device = recipe.training, run.device
    torch.manual_seed(how.seed)
    network = place(recipe.network(), device)
    optimiser = how.optimiser(parameter_groups(network, how))
    run.restore(network, optimiser)
    name, score = run.name, ""

    for epoch in run.epochs(
        how.epochs, lambda losses: patience_exhausted(losses, patience=how.patience, min_delta=how.min_delta)
    ):
        started, done = time.perf_counter(), 0
        rng = run.rng(epoch)
        order = _order(rng, len(train.cases), how.batch_size)
        total_loss, counts = 0.0, torch.zeros(4, dtype=torch.int64, device=device)
        network.train()
        for batch in train.batches(order, how.batch_size, rng):
            factor = how.schedule(TrainState(epoch + done / len(order), how.epochs, run.validation_losses))
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor
            images, masks = batch.images.to(device), batch.masks.to(device)
            changes = augment.draw(recipe.augmentation, rng, len(images), (images.shape[-2], images.shape[-1]))
            images, masks = augment.apply(images, masks, changes, recipe.preparation.targets)
            with autocast(device, bfloat16_on_cpu=how.bfloat16):
                logits = network(images.contiguous(memory_format=MEMORY_FORMAT))
            loss = how.loss(logits, masks)
            value = loss.item()
            if not np.isfinite(value):
                raise BiosegError(
                    f"{run.folder}: loss is {value} in epoch {epoch + 1}; --set training.learning_rate=… lower"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += len(images)
            total_loss += value * len(images)
            counts += confusion_counts(logits.detach()[:, 0] > 0, masks[:, 0] > 0.5)
            note = f"epoch {epoch + 1}/{how.epochs} · loss {total_loss / done:.4f}{score}"
            callbacks.progress(name, epoch * len(order) + done, how.epochs * len(order), note)
        if not done:
            raise BiosegError(f"{run.folder}: no training image can be read any more; restore the files, then --resume")
        tp, fp, fn, tn = counts.tolist()
        row = {
            "learning_rate": optimiser.param_groups[-1]["lr"],
            "loss": total_loss / done,
            "training_dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "training_accuracy": _ratio(tp + tn, tp + fp + fn + tn),
            **validate(network, validation, recipe),
            "seconds": time.perf_counter() - started,
        }
        run.finish_epoch(network, optimiser, row)
        score = f" · validation Dice {row['dice']:.4f}"
        callbacks.epoch(name, run.history[-1])
    return network


@torch.inference_mode()
def validate(network: nn.Module, samples: Samples, recipe: SegmentationRecipe) -> dict[str, float]:
    """Loss and mean scores of a network on the prepared grid, at the recipe's threshold without other postprocessing.

    Returns:
        ``validation_loss``, and the means over images of ``dice``, ``iou``, ``accuracy`` (undefined ones left out).
    """
    network.eval()
    device = next(network.parameters()).device
    threshold = Postprocess(threshold=recipe.postprocess.threshold)
    losses, sizes, rows = [], [], []
    for batch in samples.batches(range(len(samples.cases)), recipe.training.validation_batch_size):
        with autocast(device):
            logits = network(batch.images.to(device).contiguous(memory_format=MEMORY_FORMAT)).float()
        losses.append(recipe.training.loss(logits, batch.masks.to(device)).item())
        sizes.append(len(batch.images))
        for probability, truth in zip(
            logits.sigmoid().cpu().numpy()[:, 0], batch.masks.cpu().numpy()[:, 0] > 0.5, strict=True
        ):
            confusion = overlap.confusion(apply(probability, threshold), truth)
            rows.append((overlap.dice(confusion), overlap.iou(confusion), overlap.accuracy(confusion)))
    if not rows:
        raise BiosegError("no validation image can be read any more; restore the files, then --resume")
    scores = [float(np.nanmean(column)) if np.isfinite(column).any() else 0.0 for column in np.array(rows).T]
    return {
        "validation_loss": float(np.average(losses, weights=sizes)),
        **dict(zip(("dice", "iou", "accuracy"), scores, strict=True)),
    }


def parameter_groups(network: nn.Module, how: Training) -> list[dict[str, Any]]:
    """Parameter groups with their base learning rate; a pretrained encoder may have a lower one than the rest.

    Raises:
        BiosegError: A rate of the encoder is given and the network has no part ``encoder``.
    """
    if how.encoder_learning_rate is None:
        return [{"params": list(network.parameters()), "lr": how.learning_rate, "base": how.learning_rate}]
    if not isinstance(getattr(network, "encoder", None), nn.Module):
        raise BiosegError(
            "training.encoder_learning_rate: this network has no part called encoder; --set training.encoder_learning_rate=null"
        )
    encoder = list(network.get_submodule("encoder").parameters())
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [
        {"params": encoder, "lr": how.encoder_learning_rate, "base": how.encoder_learning_rate},
        {"params": rest, "lr": how.learning_rate, "base": how.learning_rate},
    ]


def confusion_counts(predicted: Tensor, truth: Tensor) -> Tensor:
    """True positive, false positive, false negative and true negative pixels of a batch, [4] on its device."""
    both, either, true = (predicted & truth).sum(), predicted.sum(), truth.sum()
    return torch.stack([both, either - both, true - both, truth.numel() - either - true + both])


def _order(rng: np.random.Generator, count: int, batch_size: int) -> list[int]:
    """A fresh order; a lone last image is left out this time, since batch statistics need company."""
    order: list[int] = rng.permutation(count).tolist()
    return order[:-1] if batch_size > 1 and count > batch_size and count % batch_size == 1 else order


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
