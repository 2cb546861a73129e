"""PyTorch as a backend."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg.inference.backends import Batch, check_logits
from bioseg.inference.device import MEMORY_FORMAT, autocast, place
from bioseg.types import BiosegError


@dataclass(frozen=True, eq=False)
class TorchBackend:
    """A network on a device.

    Attributes:
        network: In evaluation mode, on ``device``; images → logits. Where it has a method ``with_features``, images → (logits,
            features).
        device: Where it computes.
    """

    network: nn.Module
    device: torch.device

    @torch.inference_mode()
    def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`bioseg.inference.backends.Backend`."""
        try:
            logits, features = self._forward(batch)
        except (RuntimeError, ValueError, TypeError, IndexError) as fault:
            line = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
            if "memory" in line:  # not the network's fault
                raise
            raise BiosegError(
                f"network: fails on images of {list(batch.shape[1:])}: {line}; is this its recipe?"
            ) from None
        check_logits(batch, logits)
        return logits.float().cpu().numpy(), features.float().cpu().numpy()

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device).contiguous(memory_format=MEMORY_FORMAT)
        with autocast(self.device):
            with_features: Callable[[Tensor], tuple[Tensor, Tensor]] | None = getattr(
                self.network, "with_features", None
            )
            if with_features:
                return with_features(images)
            return self.network(images), images.new_empty((len(images), 0))


def torch_backend(network: nn.Module, device: torch.device) -> TorchBackend:
    """``network`` moved to ``device`` and put in evaluation mode."""
    return TorchBackend(place(network, device).eval(), device)
