"""Which device computes, in which precision and memory layout."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from bioseg.types import BiosegError

MEMORY_FORMAT = torch.channels_last
"""Memory layout of images and weights: convolutions run up to twice as fast so, on a GPU and on a CPU."""

KINDS = ("cpu", "cuda", "mps", "xpu")
"""Devices that compute; PyTorch's others, such as ``meta``, do not."""


def choose(name: str = "auto") -> torch.device:
    """The device called ``name``: ``auto`` (a CUDA GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        BiosegError: It is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type in KINDS:
            torch.zeros(1, device=device)
            return device
    except (RuntimeError, AssertionError, ValueError):  # not a device's name; no such GPU; PyTorch built without it
        pass
    raise BiosegError(f"--device {name}: not available here; {_available()}")


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on ``device``, its weights in the layout :data:`MEMORY_FORMAT`."""
    placed: nn.Module = network.to(device).to(memory_format=MEMORY_FORMAT)  # type: ignore[call-overload]
    return placed


def autocast(device: torch.device, *, bfloat16_on_cpu: bool = False) -> AbstractContextManager[Any]:
    """bfloat16 on a GPU that supports it (which needs no loss scaling); float32 on a CPU unless asked for and supported.

    Both repeat bit for bit on one machine; between processors with and without bfloat16 results differ slightly.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    if device.type == "cpu" and bfloat16_on_cpu and torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def _available() -> str:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return f"choose {', '.join(['auto', 'cpu', *cuda, *mps])}"
