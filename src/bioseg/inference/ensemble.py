"""From prepared pictures to probabilities: one network or the mean of several, with or without mirrored pictures."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

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
    """Mean of the probabilities over networks and views: the picture, its left-right mirror image, quarter turns of both.

    Returns:
        [N, K, rows, cols] in [0, 1].
    """
    total, count = pictures.new_zeros(()), 0
    for network, turn, flip in product(networks, range(4 if turns else 1), range(2 if flips else 1)):
        seen = torch.rot90(pictures, turn, (2, 3))
        probability = logits(network, seen.flip(-1) if flip else seen).sigmoid()
        total = total + torch.rot90(probability.flip(-1) if flip else probability, -turn, (2, 3))
        count += 1
    return total / count
