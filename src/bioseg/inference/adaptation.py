"""Bringing images of a new source and a trained network together without any truth of that source."""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bioseg.inference.backends import Backend
from bioseg.inference.backends.torch import TorchBackend
from bioseg.types import BiosegError, ImageArray

LEVELS = np.linspace(0, 1, 257)


def mean_quantiles(images: Iterable[ImageArray]) -> NDArray[np.float32]:
    """The histogram of a set of images: the mean over them of each one's quantiles at 0, 1/256, … 1, [257].

    Raises:
        BiosegError: There is no image.
    """
    rows = [np.quantile(image, LEVELS) for image in images]
    if not rows:
        raise BiosegError("no image to take a histogram of; give the folder the model was trained on")
    return np.asarray(np.mean(rows, axis=0), np.float32)


def match_histogram(image: ImageArray, quantiles: NDArray[np.float32]) -> ImageArray:
    """An image whose histogram is that of :func:`mean_quantiles`; the order of its intensities stays.

    A grey that many pixels share gets the mean of the quantiles they cover, so a flat image stays flat.

    Args:
        image: Any shape, any range.
        quantiles: [257], ascending.

    Returns:
        The same shape, in the range of ``quantiles``.
    """
    own, first, count = np.unique(np.quantile(image, LEVELS), return_index=True, return_counts=True)
    wanted = np.add.reduceat(quantiles, first) / count
    return np.asarray(np.interp(image, own, wanted), np.float32)


@torch.inference_mode()
def reestimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy whose batch-norm means and variances are those of other images (Li et al. 2016, AdaBN); its weights stay.

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


def reestimated(backends: Sequence[Backend], batches: Sequence[Tensor]) -> tuple[Backend, ...]:
    """Backends whose networks have the batch-norm statistics of other images, see :func:`reestimate_statistics`.

    Args:
        backends: Of PyTorch.
        batches: [N, channels, rows, cols] in [0, 1] each.

    Raises:
        BiosegError: A backend is not PyTorch's, or its network has no batch norm.
    """
    result: list[Backend] = []
    for backend in backends:
        if not isinstance(backend, TorchBackend):
            raise BiosegError("adaptation: needs the torch backend; choose that, or predict without adaptation")
        if not any(isinstance(module, _BatchNorm) for module in backend.network.modules()):
            raise BiosegError("adaptation: this network has no batch norm to adapt; predict without adaptation")
        own = (batch.to(backend.device) for batch in batches)
        result.append(replace(backend, network=reestimate_statistics(backend.network, own)))
    return tuple(result)
