"""Weights in safetensors files. Nothing is ever unpickled."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bioseg import files
from bioseg.types import BiosegError

AGAIN = "finish the training with `bioseg train … --resume`"
OLD_NAMES = ((r"(^|\.)rise\.", r"\1upsample."), (r"^whole\.", "presence."), (r"^(made_\w+)\.pictures$", r"\1.images"))
"""(pattern, replacement) of tensor names that records of format 1 spelled differently."""


def dump(network: nn.Module) -> bytes:
    """The weights of a network as the content of a safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def load_into(network: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network.

    Raises:
        BiosegError: See :func:`read`.
    """
    network.load_state_dict(read(path, network))


def read(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The weights in a file for a network, which may lie on the ``meta`` device.

    Raises:
        BiosegError: The file is missing, damaged or foreign, belongs to another network, or holds a value that is not
            finite.
    """
    return parse(files.read_bytes(path, AGAIN), path, network)


def tensors(path: Path, remedy: str) -> dict[str, Tensor]:
    """All tensors in a file, whatever network they are of; ``remedy`` says what to do where it is missing.

    Raises:
        BiosegError: The file is missing, damaged or foreign.
    """
    return _loaded(files.read_bytes(path, remedy), path)


def parse(data: bytes, path: Path, network: nn.Module) -> dict[str, Tensor]:
    """As :func:`read`, for the content of the file ``path``."""
    own = network.state_dict()
    tensors = renamed(_loaded(data, path), own)
    wrong = sorted(name for name in {*own, *tensors} if not alike(own.get(name), tensors.get(name)))
    if wrong:
        raise BiosegError(
            f"{path}: weights of another network ({len(wrong)} tensors differ, first {wrong[0]}); train again"
        )
    for name, tensor in tensors.items():
        tensors[name] = finite(tensor.to(own[name].dtype), name, path)  # a finite float64 may be an infinite float32
    return tensors


def finite(tensor: Tensor, name: str, path: Path) -> Tensor:
    """The tensor ``name`` of a file, refused where it holds a value that is not finite."""
    if not torch.isfinite(tensor).all():
        raise BiosegError(f"{path}: {name} holds values that are not finite; restore the file or train again")
    return tensor


def _loaded(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as fault:
        raise BiosegError(f"{path}: damaged or not a safetensors file ({fault}); restore it or train again") from None


def alike(own: Tensor | None, found: Tensor | None) -> bool:
    """Whether one can be put into the other: of the same shape, both real numbers or both whole ones."""
    return (
        own is not None
        and found is not None
        and own.shape == found.shape
        and own.is_floating_point() == found.is_floating_point()
        and own.is_complex() == found.is_complex()
    )


def renamed(tensors: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under today's names, where the network does not have the ones they were stored under."""
    result = {}
    for name, tensor in tensors.items():
        new = name
        for pattern, replacement in OLD_NAMES:
            new = re.sub(pattern, replacement, new)
        result[name if name in own else new] = tensor
    return result
