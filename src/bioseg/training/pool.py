"""Generated images kept to be shown again, so that a discriminator does not only follow the newest."""

import numpy as np
import torch
from torch import Tensor, nn


class Pool(nn.Module):
    """So many generated images (Shrivastava et al. 2017). A module without weights, so that it is kept with the networks.

    Attributes:
        images: [size, 1, rows, cols].
        filled: [1], how many of them there are.
    """

    def __init__(self, size: int, shape: tuple[int, int]) -> None:
        """Make an empty one for images of ``shape`` (rows, cols)."""
        super().__init__()
        self.images: Tensor
        self.filled: Tensor
        self.register_buffer("images", torch.zeros(size, 1, *shape))
        self.register_buffer("filled", torch.zeros(1, dtype=torch.int64))

    def exchange(self, fresh: Tensor, rng: np.random.Generator) -> Tensor:
        """What the discriminator is shown for ``fresh``, [N, 1, rows, cols] without gradients, each by itself.

        While the pool is not full, a fresh image is kept and shown. Then either it is shown and not kept, or, as often, a
        random one of the pool is shown and leaves it its place.
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
