"""PyTorch as a backend."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg.inference.backends import Batch
from bioseg.inference.device import MEMORY_FORMAT, autocast, place


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
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device).contiguous(memory_format=MEMORY_FORMAT)
        with autocast(self.device):
            with_features: Callable[[Tensor], tuple[Tensor, Tensor]] | None = getattr(
                self.network, "with_features", None
            )
            if with_features:
                logits, features = with_features(images)
            else:
                logits, features = self.network(images), images.new_empty((len(images), 0))
        return logits.float().cpu().numpy(), features.float().cpu().numpy()


def torch_backend(network: nn.Module, device: torch.device) -> TorchBackend:
    """``network`` moved to ``device`` and put in evaluation mode."""
    return TorchBackend(place(network, device).eval(), device)
