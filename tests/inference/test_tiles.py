from itertools import pairwise

import pytest
import torch

from bioseg.inference import tiles
from bioseg.inference.tiles import in_tiles


@pytest.mark.parametrize("shape", [(300, 300), (97, 300), (300, 64), (211, 305)])
def test_tiles_give_what_the_whole_gives_where_a_network_looks_no_further_than_the_overlap(
    shape: tuple[int, int],
) -> None:
    look = torch.nn.Conv2d(1, 2, 5, padding=2)
    image = torch.rand(1, 1, *shape)
    seen: list[tuple[int, ...]] = []

    def predict(part: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(part.shape[2:]))
        return look(part)

    with torch.no_grad():
        whole = look(image)
        tiled = in_tiles(predict, image, tile=64, overlap=16)
    assert len(seen) > 3 and all(max(size) <= 64 for size in seen)
    inner = (..., slice(3, -3), slice(3, -3))
    # A tile's own edge is padded with zeros, which the conv sees two pixels deep and the fade gives little weight.
    assert torch.allclose(tiled[inner], whole[inner], atol=0.15)
    assert (tiled - whole)[inner].abs().mean() < 0.01


def test_a_constant_stays_one_and_small_images_are_not_cut() -> None:
    image = torch.rand(1, 3, 200, 130)
    assert torch.allclose(in_tiles(lambda part: part * 0 + 0.7, image, tile=64, overlap=20), torch.tensor(0.7))
    calls = []
    in_tiles(lambda part: calls.append(part.shape) or part, torch.rand(1, 1, 96, 90), tile=64)
    assert len(calls) == 1


@pytest.mark.parametrize("side", [97, 128, 200, 1000, 1001])
def test_tiles_cover_all_and_share_enough(side: int) -> None:
    starts = tiles._starts(side, 64, 16)
    assert starts[0] == 0 and starts[-1] == side - 64
    assert all(b - a <= 48 for a, b in pairwise(starts))
