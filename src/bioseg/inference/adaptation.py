"""Bringing pictures of a new source and a trained network together without any truth of that source."""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bioseg.types import BiosegError, Picture

LEVELS = np.linspace(0, 1, 257)


def mean_quantiles(pictures: Iterable[Picture]) -> NDArray[np.float32]:
    """The histogram of a set of pictures: the mean over them of each one's quantiles at 0, 1/256, … 1, [257].

    Raises:
        BiosegError: There is no picture.
    """
    rows = [np.quantile(picture, LEVELS) for picture in pictures]
    if not rows:
        raise BiosegError("no picture to take a histogram of; give the folder the model was trained on")
    return np.asarray(np.mean(rows, axis=0), np.float32)


def match_histogram(picture: Picture, quantiles: NDArray[np.float32]) -> Picture:
    """A picture whose histogram is that of :func:`mean_quantiles`; the order of its intensities stays.

    A grey that many pixels share gets the mean of the quantiles they cover, so a flat picture stays flat.

    Args:
        picture: Any shape, any range.
        quantiles: [257], ascending.

    Returns:
        The same shape, in the range of ``quantiles``.
    """
    own, first, count = np.unique(np.quantile(picture, LEVELS), return_index=True, return_counts=True)
    wanted = np.add.reduceat(quantiles, first) / count
    return np.asarray(np.interp(picture, own, wanted), np.float32)


@torch.inference_mode()
def reestimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy whose batch-norm means and variances are those of other pictures (Li et al. 2016, AdaBN); its weights stay.

    Args:
        network: In evaluation mode.
        batches: [N, channels, rows, cols] in [0, 1] each, on the network's device; every batch counts alike.

    Returns:
        In evaluation mode.
    """
    adapted = copy.deepcopy(network)
    norms = [module for module in adapted.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for batch in batches:
        adapted(batch)
    return adapted.eval()
