"""Images of different sizes with two mask files each, for tests of prepared samples."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bioseg.datasets.samples import Samples
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.specs import call
from bioseg.types import Case

HOW = Preparation((16, 12), intensity=(call(prepare.fixed_window, low=0, high=255),))
COUNT = 11


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_cases(folder: Path) -> list[Case]:
    """Every image's brightness is ten times its number."""
    made = []
    for i in range(COUNT):
        shape = (20 + i, 30 - i)
        masks = []
        for part in range(2):
            mask = np.zeros(shape, np.uint8)
            mask[2 + 8 * part : 8 + 8 * part, 3:15] = 255
            masks.append(save(folder / f"masks/{i:02}_{part}.png", mask))
        image = save(folder / f"images/{i:02}.png", np.full(shape, 10 * i, np.uint8))
        made.append(Case(f"{i:02}", f"p{i}", image, tuple(masks)))
    return made


def everything(samples: Samples, order: list[int], size: int) -> tuple[torch.Tensor, ...]:
    batches = list(samples.batches(order, size))
    assert all(len(batch.images) == size for batch in batches[:-1])
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
