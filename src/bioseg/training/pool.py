"""A pool of generated images, so that a discriminator is trained on earlier ones too (Shrivastava et al. 2017)."""

import numpy as np
import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """A number of generated images. A module without weights, so that it is saved with the networks.

    Attributes:
        images: [size, 1, rows, cols].
        filled: [1], how many of them are in use.
    """

    def __init__(self, size: int, shape: tuple[int, int]) -> None:
        """Make an empty pool for ``size`` images of ``shape`` (rows, cols)."""
        super().__init__()
        self.images: Tensor
        self.filled: Tensor
        self.register_buffer("images", torch.zeros(size, 1, *shape))
        self.register_buffer("filled", torch.zeros(1, dtype=torch.int64))

    def exchange(self, fresh: Tensor, rng: np.random.Generator) -> Tensor:
        """The images to train the discriminator on instead of ``fresh``, [N, 1, rows, cols] without gradients.

        While the pool is not full, a fresh image is stored and returned. After that, with equal chance, either the fresh image
        is returned and not stored, or it replaces a random image of the pool, which is returned.
        """
        size, filled = len(self.images), int(self.filled)
        shown = fresh.detach().clone()
        for index in range(len(fresh)):
            if filled < size:
                self.images[filled] = fresh[index].detach()
                filled += 1
            elif size and rng.random() >= 0.5:
                place = int(rng.integers(size))
                shown[index] = self.images[place]
                self.images[place] = fresh[index].detach()
        self.filled.fill_(filled)
        return shown
