"""Validation of a segmentation network between epochs."""

import numpy as np
import torch
from torch import nn

from bioseg.classes import assigned, probabilities
from bioseg.datasets.samples import Samples
from bioseg.evaluation import overlap
from bioseg.inference.device import MEMORY_FORMAT, autocast
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError


@torch.inference_mode()
def validate(network: nn.Module, samples: Samples, recipe: SegmentationRecipe) -> dict[str, float]:
    """Loss and mean scores of a network on the prepared grid, at the recipe's threshold and without other postprocessing.

    Returns:
        ``validation_loss``, and the means over images and classes of ``dice``, ``iou`` and ``accuracy``, undefined ones left out.

    Raises:
        BiosegError: No validation image can be read any more.
    """
    network.eval()
    device = next(network.parameters()).device
    classes = recipe.preparation.classes
    thresholds = np.array([recipe.postprocess.of(name).threshold for name in classes.names], np.float32)
    losses, sizes, rows = [], [], []
    for batch in samples.batches(range(len(samples.cases)), recipe.training.validation_batch_size):
        with autocast(device):
            logits = network(batch.images.to(device).contiguous(memory_format=MEMORY_FORMAT)).float()
        losses.append(recipe.training.loss(logits, batch.masks.to(device)).item())
        sizes.append(len(batch.images))
        planes = probabilities(logits[:, : len(thresholds)].cpu().numpy(), classes)
        truths = batch.masks[:, : len(thresholds)].cpu().numpy() > 0.5
        for own, truth in zip(planes, truths, strict=True):
            each = [overlap.confusion(*pair) for pair in zip(assigned(own, classes, thresholds), truth, strict=True)]
            rows += [(overlap.dice(one), overlap.iou(one), overlap.accuracy(one)) for one in each]
    if not rows:
        raise BiosegError("no validation image can be read any more; restore the files, then --resume")
    scores = [float(np.nanmean(column)) if np.isfinite(column).any() else 0.0 for column in np.array(rows).T]
    loss = float(np.average(losses, weights=sizes))
    return {"validation_loss": loss, **dict(zip(("dice", "iou", "accuracy"), scores, strict=True))}
