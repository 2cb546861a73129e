"""The training loop of a segmentation network."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bioseg.classes import Classes
from bioseg.datasets.samples import Samples
from bioseg.inference.device import MEMORY_FORMAT, autocast, place
from bioseg.models.transfer import Start, start
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.specs import describe
from bioseg.training.augmented import augmented
from bioseg.training.encoder import encoder_of, set_frozen
from bioseg.training.run import Run
from bioseg.training.schedules import TrainState, patience_exhausted
from bioseg.training.validation import validate
from bioseg.types import SILENT, BiosegError, Callbacks

LOWER = "start again with a lower --set training.learning_rate=…"


def fit_segmenter(
    run: Run, recipe: SegmentationRecipe, train: Samples, validation: Samples, callbacks: Callbacks = SILENT, *,
    init: Start | None = None,
) -> nn.Module:  # fmt: skip
    """Train the recipe's network, or continue to, until the epochs are done or patience is exhausted.

    Args:
        run: Open run folder; gets the journal, the best and the last weights.
        recipe: How to train.
        train: Training set.
        validation: Validation set; decides which weights are best.
        callbacks: Called after every step and epoch.
        init: Weights to start from; what matches none of them starts as the recipe says.

    Returns:
        The network with the weights of the last epoch.

    Raises:
        BiosegError: A training loss, or every validation loss, is not finite, or no image of a set can be read any more.
    """
    how, device = recipe.training, run.device
    torch.manual_seed(how.seed)
    network = recipe.network()
    if init and not run.history:
        callbacks.log(f"{run.name}: {start(network, init, describe(recipe.network))}")
    network = place(network, device)
    optimiser = how.optimiser(parameter_groups(network, how))
    run.restore(network, optimiser)
    name, score = run.name, ""

    def enough(losses: Sequence[float]) -> bool:
        return patience_exhausted(losses, patience=how.patience, min_delta=how.min_delta)

    for epoch in run.epochs(how.epochs, enough):
        started, done, rng = time.perf_counter(), 0, run.rng(epoch)
        order = _order(rng, len(train.cases), how.batch_size)
        total_loss, counts = 0.0, torch.zeros(4, dtype=torch.int64, device=device)
        network.train()
        if how.freeze_epochs:
            set_frozen(encoder_of(network, "freeze_epochs"), epoch < how.freeze_epochs)
        for batch in train.batches(order, how.batch_size, rng):
            factor = how.schedule(TrainState(epoch + done / len(order), how.epochs, run.validation_losses))
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor
            images, masks = batch.images.to(device), batch.masks.to(device)
            images, masks = augmented(recipe, images, masks, rng)
            with autocast(device, bfloat16_on_cpu=how.bfloat16):
                logits = network(images.contiguous(memory_format=MEMORY_FORMAT))
            loss = how.loss(logits, masks)
            value = loss.item()
            if not np.isfinite(value):
                raise BiosegError(f"{run.folder}: loss is {value} in epoch {epoch + 1}; {LOWER}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += len(images)
            total_loss += value * len(images)
            counts += confusion_counts(*_predicted(logits.detach(), masks, recipe.preparation.classes))
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
    if run.best_epoch is None:
        raise BiosegError(f"{run.folder}: the validation loss was not finite in any epoch; {LOWER}")
    return network


def parameter_groups(network: nn.Module, how: Training) -> list[dict[str, Any]]:
    """Parameter groups with their base learning rate; a pretrained encoder may have one of its own.

    Raises:
        BiosegError: The encoder has a learning rate and the network no submodule ``encoder``.
    """
    if how.encoder_learning_rate is None:
        return [{"params": list(network.parameters()), "lr": how.learning_rate, "base": how.learning_rate}]
    encoder = list(encoder_of(network, "encoder_learning_rate").parameters())
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    return [
        {"params": parameters, "lr": rate, "base": rate}
        for parameters, rate in ((encoder, how.encoder_learning_rate), (rest, how.learning_rate))
    ]


def confusion_counts(predicted: Tensor, truth: Tensor) -> Tensor:
    """True positive, false positive, false negative and true negative pixels of a batch, [4] on its device."""
    both, either, true = (predicted & truth).sum(), predicted.sum(), truth.sum()
    return torch.stack([both, either - both, true - both, truth.numel() - either - true + both])


def _predicted(logits: Tensor, masks: Tensor, classes: Classes) -> tuple[Tensor, Tensor]:
    """Prediction and ground truth of the classes' planes, [N, K, rows, cols], True in the class."""
    own = logits[:, : len(classes.names)]
    predicted = own > 0
    if classes.exclusive and classes.several:
        predicted &= own == own.amax(1, keepdim=True)
    return predicted, masks[:, : len(classes.names)] > 0.5


def _order(rng: np.random.Generator, count: int, batch_size: int) -> list[int]:
    """A fresh order; without its last image where that would be a batch of one, too few for batch statistics."""
    order: list[int] = rng.permutation(count).tolist()
    return order[:-1] if batch_size > 1 and count > batch_size and count % batch_size == 1 else order


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
