"""Domain adaptation without ground truth: histogram matching, and batch-norm statistics of the new domain."""

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
    """The mean histogram of a set of images: the mean over them of each one's quantiles at 0, 1/256, … 1, [257].

    Raises:
        BiosegError: There is no image.
    """
    rows = [np.quantile(image, LEVELS) for image in images]
    if not rows:
        raise BiosegError("no image to take a histogram of; give the folder the model was trained on")
    return np.asarray(np.mean(rows, axis=0), np.float32)


def match_histogram(image: ImageArray, quantiles: NDArray[np.float32]) -> ImageArray:
    """The image with its intensities mapped, in their order, to those of :func:`mean_quantiles`.

    Pixels of one intensity keep one intensity: the mean of the quantiles they span. So a flat image stays flat.

    Args:
        image: Any shape, any range.
        quantiles: [257], ascending.

    Returns:
        The same shape, in the range of ``quantiles``.
    """
    own, first, count = np.unique(np.quantile(image, LEVELS), return_index=True, return_counts=True)
    wanted = np.add.reduceat(quantiles, first) / count
    return np.asarray(np.interp(image, own, wanted), np.float32)


@torch.no_grad()  # not inference mode: tensors made in it could not be used outside
def reestimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy with the batch-norm means and variances of other images (Li et al. 2016, AdaBN) and the same weights.

    Args:
        network: In evaluation mode.
        batches: [N, channels, rows, cols] in [0, 1] each, on the network's device; every batch has the same weight.

    Returns:
        In evaluation mode.

    Raises:
        BiosegError: A batch leaves a batch norm a single value per channel.
    """
    adapted = copy.deepcopy(network)
    norms = [module for module in adapted.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    for batch in batches:
        try:
            adapted(batch)
        except ValueError:
            raise BiosegError(
                f"adaptation: {len(batch)} image of {batch.shape[-2]} × {batch.shape[-1]} px is too little for batch "
                "statistics; give more or larger images, or predict without adaptation"
            ) from None
    return adapted.eval()


def reestimated(backends: Sequence[Backend], batches: Sequence[Tensor]) -> tuple[Backend, ...]:
    """Backends whose networks have the batch-norm statistics of other images, see :func:`reestimate_statistics`.

    Args:
        backends: Of PyTorch.
        batches: [N, channels, rows, cols] in [0, 1] each. A last batch of one image joins the batch before it.

    Raises:
        BiosegError: A backend is not PyTorch's, its network has no batch norm, or the batches are too small.
    """
    batches = _without_single_last(batches)
    result: list[Backend] = []
    for backend in backends:
        if not isinstance(backend, TorchBackend):
            raise BiosegError("adaptation: needs PyTorch; give the run folder, or predict without adaptation")
        if not any(isinstance(module, _BatchNorm) for module in backend.network.modules()):
            raise BiosegError("adaptation: this network has no batch norm to adapt; predict without adaptation")
        own = (batch.to(backend.device) for batch in batches)
        result.append(replace(backend, network=reestimate_statistics(backend.network, own)))
    return tuple(result)


def _without_single_last(batches: Sequence[Tensor]) -> Sequence[Tensor]:
    """One image has poor statistics, and would have the weight of a whole batch."""
    if (
        len(batches) < 2
        or len(batches[-1]) > 1
        or len(batches[-2]) == 1
        or batches[-1].shape[1:] != batches[-2].shape[1:]
    ):
        return batches
    return [*batches[:-2], torch.cat([batches[-2], batches[-1]])]
