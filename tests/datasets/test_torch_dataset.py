"""A PyTorch data set of prepared cases: pairs of tensors, the same again for the same seed, another draw for each worker."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bioseg.datasets import SegmentationDataset, list_cases, phantom_layouts
from bioseg.datasets.augment import Augmentation
from bioseg.images.prepare import Preparation
from bioseg.types import BiosegError, Case

HOW = Preparation(size_px=(16, 24))
NOISE = Augmentation(noise=0.2, noise_chance=1.0, flip_cols=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    phantom_layouts.write_images_masks(root, count=4, seed=0, size_px=32)
    return root


def test_pairs_of_tensors(folder: Path) -> None:
    data = SegmentationDataset(folder, HOW)
    assert len(data) == 4 and data.cases == tuple(list_cases(folder))
    image, mask = data[1]
    assert image.shape == (1, 16, 24) and mask.shape == (1, 16, 24)
    assert image.dtype == mask.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and set(mask.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(image, data[1][0])  # nothing is drawn
    images, masks = next(iter(DataLoader(data, batch_size=3)))
    assert images.shape == masks.shape == (3, 1, 16, 24)
    assert torch.equal(images[1], image)


def test_what_is_drawn_follows_pytorch_s_seed(folder: Path) -> None:
    data = SegmentationDataset(folder, HOW, NOISE)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append([data[0], data[0]])
    assert torch.equal(draws[0][0][0], draws[1][0][0]) and torch.equal(draws[0][1][1], draws[1][1][1])
    assert not torch.equal(draws[0][0][0], draws[0][1][0]) and not torch.equal(draws[0][0][0], draws[2][0][0])


def grey(source: Path | bytes) -> np.ndarray[Any, Any]:
    return np.eye(16, 24, dtype=np.uint8)


def test_workers_and_epochs_draw_anew(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.own", "a.mask.own")]
    for path in files:
        path.touch()
    case = Case("a", "", files[0], (files[1],), reader=grey)
    loader = DataLoader(SegmentationDataset([case] * 4, HOW, NOISE), batch_size=2, num_workers=2)
    torch.manual_seed(0)
    epochs = [torch.cat([images for images, _ in loader]) for _ in range(2)]
    everything = [image for epoch in epochs for image in epoch]
    assert len({tuple(image.flatten().tolist()) for image in everything}) == 8
    torch.manual_seed(0)
    assert torch.equal(torch.cat([images for images, _ in loader]), epochs[0])


def test_patches(folder: Path) -> None:
    how = replace(HOW, size_px=(8, 8), fit="patches")
    assert torch.equal(SegmentationDataset(folder, how)[0][0], SegmentationDataset(folder, how)[0][0])
    data = SegmentationDataset(folder, how, Augmentation())
    torch.manual_seed(0)
    patches = [data[0][0] for _ in range(6)]
    assert all(patch.shape == (1, 8, 8) for patch in patches) and not all(
        torch.equal(patches[0], one) for one in patches
    )


def test_a_file_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    data = SegmentationDataset([replace(list_cases(folder)[0], image=tmp_path / "bad.png")], HOW)
    with pytest.raises(BiosegError, match=r"bad\.png: "):
        data[0]
