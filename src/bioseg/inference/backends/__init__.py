"""What computes a network, behind one small interface."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bioseg.types import BiosegError

Batch = NDArray[np.float32]
"""[N, channels, rows, cols] in [0, 1]."""


class Backend(Protocol):
    """A network that is ready to predict; safe to share among threads."""

    def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network once.

        Args:
            batch: [N, channels, rows, cols] in [0, 1].

        Returns:
            Logits [N, K, rows, cols], and features [N, D] that describe each image as a whole; D is 0 for a network without
            an encoder.
        """
        ...


def check_logits(batch: Batch, logits: Any) -> None:
    """Hold logits against the batch they are of.

    Raises:
        BiosegError: They are not [N, K, rows, cols] of the same N, rows and cols.
    """
    if logits.ndim != 4 or logits.shape[2:] != batch.shape[2:] or len(logits) != len(batch):
        raise BiosegError(f"network: turns images {list(batch.shape)} into {list(logits.shape)}; is this its recipe?")


def failure(batch: Batch, fault: Exception) -> Exception:
    """What to raise for a fault of a network: one line; a lack of memory is told apart."""
    line = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
    if any(word in line.lower() for word in ("memory", "alloc")):
        return MemoryError(line)
    return BiosegError(f"network: fails on images of {list(batch.shape[1:])}: {line[:200]}; is this its recipe?")
