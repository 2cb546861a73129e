"""From prepared pictures to probabilities: one network or the mean of several, with or without mirrored pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.inference.device import FORMAT, autocast


@torch.inference_mode()
def logits(network: nn.Module, pictures: Tensor) -> Tensor:
    """The network's float32 logits [N, K, rows, cols], without gradients.

    Args:
        network: In evaluation mode, on the pictures' device.
        pictures: [N, channels, rows, cols] in [0, 1].
    """
    with autocast(pictures.device):
        result: Tensor = network(pictures.contiguous(memory_format=FORMAT))
    return result.float()


def mean_probability(
    networks: Sequence[nn.Module], pictures: Tensor, *, flips: bool = False, turns: bool = False
) -> Tensor:
    """Mean of :func:`views`, [N, K, rows, cols] in [0, 1]."""
    total, count = pictures.new_zeros(()), 0
    for probability in views(networks, pictures, flips=flips, turns=turns):
        total = total + probability
        count += 1
    return total / count


def views(
    networks: Sequence[nn.Module], pictures: Tensor, *, flips: bool = False, turns: bool = False, altered: bool = False
) -> Iterator[Tensor]:
    """The probabilities by each network from each view: the picture, its left-right mirror image, quarter turns of both.

    Args:
        networks: In evaluation mode.
        pictures: [N, channels, rows, cols] in [0, 1].
        flips: Mirrored too.
        turns: Turned too.
        altered: Last by each network one more, smaller by a factor of .88 and brighter (x to the power of .6). It says how
            steady an outline is; for the outline itself it is not used.

    Yields:
        [N, K, rows, cols] in [0, 1], laid back on the picture; the first is the first network's of the picture itself.
    """
    for network in networks:
        last: list[Tensor] = []
        for turn in range(4 if turns else 1):
            seen = torch.rot90(pictures, turn, (2, 3))
            together = [seen, seen.flip(-1)] if flips else [seen]  # one pass of all costs less than one of each
            if altered and not turn:
                together.append(_zoomed(pictures, 0.88).clamp(0, 1) ** 0.6)
            parts = list(logits(network, torch.cat(together)).sigmoid().split(len(pictures)))
            if altered and not turn:
                last.append(_zoomed(parts.pop(), 1 / 0.88))
            for part, mirrored in zip(parts, (False, True), strict=False):
                yield torch.rot90(part.flip(-1) if mirrored else part, -turn, (2, 3))
        yield from last


@contextmanager
def encoded(network: nn.Module) -> Iterator[list[Tensor]]:
    """Meanwhile, collect the mean over the grid of the deepest map of ``network.encoder``, [N, width] a forward pass.

    The list stays empty where the network has no encoder that returns its maps, deepest last.
    """
    means: list[Tensor] = []
    encoder = getattr(network, "encoder", nn.Identity())
    hook = encoder.register_forward_hook(lambda module, inputs, maps: means.append(maps[-1].float().mean((2, 3))))
    try:
        yield means
    finally:
        hook.remove()


def _zoomed(pictures: Tensor, factor: float) -> Tensor:
    """The content larger by ``factor`` about the middle, on the same grid; the edge is continued outwards."""
    matrix = torch.eye(2, 3, device=pictures.device, dtype=pictures.dtype) / factor
    grid = functional.affine_grid(matrix.expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
