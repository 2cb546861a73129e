"""Prepared cases as a plain :class:`torch.utils.data.Dataset`, for those who keep their own training loop."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bioseg.datasets import augment, folders
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import prepare_case
from bioseg.images.prepare import Preparation
from bioseg.types import Case


class SegmentationDataset(Dataset[tuple[Tensor, Tensor]]):
    """Images [channels, rows, cols] in [0, 1] and targets [K, rows, cols], 0 or 1, both float32; files are read when asked for.

    What is drawn comes from PyTorch's own generator: ``torch.manual_seed`` makes it the same again, and a ``DataLoader`` gives each
    of its workers another seed in every epoch.

    Attributes:
        cases: One per item.
        preparation: How they are prepared; K is the number of its ``targets``.
        augmentation: Of each item; all 0 changes nothing.
    """

    def __init__(
        self, cases: Sequence[Case] | Path | str, preparation: Preparation, augmentation: Augmentation | None = None
    ) -> None:
        """List the items.

        Args:
            cases: With ground truth, or a folder of images and masks.
            preparation: With ``fit="patches"``, a patch of ``size_px`` is drawn of each image; the middle one where
                ``augmentation`` is None.
            augmentation: None: nothing is drawn.

        Raises:
            BiosegError: The folder holds no image with a mask.
        """
        self.cases = tuple(folders.list_cases(Path(cases)) if isinstance(cases, str | Path) else cases)
        self.preparation, self.augmentation = preparation, augmentation

    def __len__(self) -> int:
        """Number of cases."""
        return len(self.cases)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image and targets of one case.

        Raises:
            BiosegError: A file of the case cannot be used.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, ()))) if self.augmentation else None
        image, targets = (torch.from_numpy(part) for part in prepare_case(self.cases[index], self.preparation))
        if self.preparation.fit == "patches":
            rows, cols = (
                self._within(*sides, rng) for sides in zip(image.shape[1:], self.preparation.size_px, strict=True)
            )
            image, targets = image[:, rows, cols], targets[:, rows, cols]
        images, masks = image[None], targets.float()[None]
        if self.augmentation and rng:
            changes = augment.draw(self.augmentation, rng, 1, (image.shape[1], image.shape[2]))
            images, masks = augment.apply(images, masks, changes, self.preparation.planes)
        return images[0], masks[0]

    @staticmethod
    def _within(side: int, size: int, rng: np.random.Generator | None) -> slice:
        start = int(rng.integers(0, side - size + 1)) if rng else (side - size) // 2
        return slice(start, start + size)
