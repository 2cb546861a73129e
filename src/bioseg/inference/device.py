"""Which processor computes."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from bioseg.types import BiosegError

MEMORY_FORMAT = torch.channels_last
"""How images and weights lie in memory: convolutions run up to twice as fast so, on a GPU and on a CPU."""


def choose(name: str = "auto") -> torch.device:
    """The device called ``name``: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        BiosegError: It is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError):
        raise BiosegError(f"--device {name}: this machine or this PyTorch has none; use --device cpu") from None


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on ``device``, its weights lying as :data:`MEMORY_FORMAT` says."""
    placed: nn.Module = network.to(device).to(memory_format=MEMORY_FORMAT)  # type: ignore[call-overload]
    return placed


def autocast(device: torch.device, *, bfloat16_on_cpu: bool = False) -> AbstractContextManager[Any]:
    """bfloat16 where a GPU has it (no loss scaling is needed); float32 on a CPU unless asked, and it computes the other.

    Both repeat bit for bit on one machine; between processors with and without bfloat16 results differ slightly.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    if device.type == "cpu" and bfloat16_on_cpu and torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()
