"""What computes a network, behind one small interface."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
