"""Weights in safetensors files. Nothing is ever unpickled."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bioseg.types import BiosegError

OLD_NAMES = ((r"(^|\.)rise\.", r"\1upsample."), (r"^whole\.", "presence."))
"""(pattern, replacement) of tensor names that records of format 1 spelled differently."""


def dump(network: nn.Module) -> bytes:
    """The weights of a network as the content of a safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def load_into(network: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network.

    Raises:
        BiosegError: The file is missing, damaged or foreign, belongs to another network, or holds a value that is not
            finite.
    """
    try:
        tensors = load(path.read_bytes())
    except FileNotFoundError:
        raise BiosegError(f"{path}: no weights there; finish the training with `bioseg train … --resume`") from None
    except (OSError, SafetensorError, ValueError) as fault:
        raise BiosegError(f"{path}: damaged or not a safetensors file ({fault}); restore it or train again") from None
    own = network.state_dict()
    tensors = renamed(tensors, own)
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    wrong = sorted(
        name for name in {*own, *tensors} if name not in tensors or shapes.get(name) != tuple(tensors[name].shape)
    )
    if wrong:
        raise BiosegError(
            f"{path}: weights of another network ({len(wrong)} tensors differ, first {wrong[0]}); train again"
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise BiosegError(f"{path}: {name} holds values that are not finite; restore the file or train again")
    network.load_state_dict(tensors)


def renamed(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under today's names, where the network does not have the ones they were stored under."""
    result = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, replacement in OLD_NAMES:
            new = re.sub(pattern, replacement, new)
        result[name if name in own else new] = tensor
    return result
