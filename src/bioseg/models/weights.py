"""Weights in safetensors files. Nothing is ever unpickled."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from bioseg.types import BiosegError


def dump(network: nn.Module) -> bytes:
    """The weights of a network as the content of a safetensors file."""
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def load_into(network: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network.

    Raises:
        BiosegError: The file is missing, damaged or foreign, or belongs to another network.
    """
    try:
        tensors = load(path.read_bytes())
    except FileNotFoundError:
        raise BiosegError(f"{path}: no weights there; finish the training with `bioseg train … --resume`") from None
    except (OSError, SafetensorError) as fault:
        raise BiosegError(f"{path}: damaged or not a safetensors file ({fault}); restore it or train again") from None
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    wrong = sorted(
        name for name in {*own, *tensors} if name not in tensors or own.get(name) != tuple(tensors[name].shape)
    )
    if wrong:
        raise BiosegError(
            f"{path}: weights of another network ({len(wrong)} tensors differ, first {wrong[0]}); train again"
        )
    network.load_state_dict(tensors)
