"""From prepared pictures to probabilities: one network or the mean of several, with or without mirrored pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bioseg.inference.device import FORMAT, autocast


@torch.inference_mode()
def logits(network: nn.Module, pictures: Tensor) -> Tensor:
    """The network's float32 logits [N, 1, rows, cols], without gradients.

    Args:
        network: In evaluation mode, on the pictures' device.
        pictures: [N, channels, rows, cols] in [0, 1].
    """
    with autocast(pictures.device):
        result: Tensor = network(pictures.contiguous(memory_format=FORMAT))
    return result.float()


def mean_probability(networks: Sequence[nn.Module], pictures: Tensor, *, flips: bool = False) -> Tensor:
    """Mean over networks, and over the picture and its left-right mirror image, of the probabilities.

    Returns:
        [N, 1, rows, cols] in [0, 1].
    """
    total = pictures.new_zeros(())
    for network in networks:
        total = total + logits(network, pictures).sigmoid()
        if flips:
            total = total + logits(network, pictures.flip(-1)).sigmoid().flip(-1)
    return total / (len(networks) * (2 if flips else 1))
