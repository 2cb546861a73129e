"""Large images in tiles: nothing is missing, nothing is visible of the cuts, and nothing is computed twice without need."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bioseg.inference import tiles
from bioseg.inference.tiles import LARGEST_PX, OVERLAP_PX, in_tiles

Planes = NDArray[np.float32]


@pytest.mark.parametrize("shape", [(300, 300), (97, 300), (300, 64), (211, 305)])
def test_tiles_give_what_the_whole_gives_where_the_receptive_field_is_smaller_than_the_overlap(
    shape: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    kernel, image = torch.rand(2, 1, 5, 5), torch.rand(1, 1, *shape).numpy()
    seen: list[tuple[int, ...]] = []

    def predict(part: Planes) -> Planes:
        seen.append(part.shape[2:])
        return functional.conv2d(torch.from_numpy(part.copy()), kernel, padding=2).numpy()

    whole = predict(image)
    seen.clear()
    tiled = in_tiles(predict, image, largest=96, overlap=16)
    assert len(seen) > 3 and all(max(size) <= 96 for size in seen)
    inner = (..., slice(3, -3), slice(3, -3))
    # A tile's own edge is padded with zeros, which the kernel reaches two pixels deep and the fade gives little weight.
    assert np.allclose(tiled[inner], whole[inner], atol=2.5)
    assert np.abs(tiled - whole)[inner].mean() < 0.02 * whole[inner].mean()


def test_a_constant_stays_one_and_small_images_are_not_cut() -> None:
    image = np.random.default_rng(0).random((1, 3, 200, 130), dtype=np.float32)
    tiled = in_tiles(lambda part: part * 0 + np.float32(0.7), image, largest=64, overlap=20)
    assert tiled.dtype == np.float32 and np.allclose(tiled, 0.7, atol=1e-6)
    calls = []
    in_tiles(lambda part: calls.append(part.shape) or part, image, largest=200)
    assert calls == [image.shape]


@pytest.mark.parametrize("side", [97, 128, 200, 1000, 1001])
def test_tiles_cover_everything_and_share_enough(side: int) -> None:
    cuts = [cut for cut, _ in tiles._cuts(side, 64, 16)]
    assert cuts[0].start == 0 and cuts[-1].stop == side
    assert all(a.stop - b.start >= 16 for a, b in pairwise(cuts))
    assert len({cut.stop - cut.start for cut in cuts}) == 1


@pytest.mark.parametrize("side", [1537, 1600, 2000, 2500, 3000, 5000, 10_000])
def test_the_pixels_computed_are_proportional_to_those_of_the_image(side: int) -> None:
    """Overlaps cost a fifth along each axis at most; tiles of one fixed size cost up to four times the image."""
    cuts = [cut for cut, _ in tiles._cuts(side, LARGEST_PX, OVERLAP_PX)]
    computed = sum(cut.stop - cut.start for cut in cuts)
    assert max(cut.stop - cut.start for cut in cuts) <= LARGEST_PX
    assert computed <= 1.13 * side


def test_memory_is_the_result_and_a_tile() -> None:
    """Not another array of the image's size for the weights, and never a copy of the image."""
    image = np.zeros((1, 1, 2400, 2400), np.float32)
    tracemalloc.start()
    try:
        result = in_tiles(lambda part: np.repeat(part, 2, axis=1), image, largest=512, overlap=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.shape == (1, 2, 2400, 2400) and result.dtype == np.float32
    assert peak < result.nbytes + 8 * 4 * 512**2
