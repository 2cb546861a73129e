"""What the quality model is fitted to: distributions, degraded copies, shuffled images; and that odd data do not stop it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn

from bioseg import recipes
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import Batch, InMemory
from bioseg.images.prepare import Preparation
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.predictor import Predictor
from bioseg.postprocess.masks import Postprocess
from bioseg.quality import fit as fitting
from bioseg.quality.model import MEASURES, QualityModel
from bioseg.types import BiosegError, Case

SIZE = 32


class Bright(nn.Module):
    """Marks what is bright; has no encoder, so its quality goes without features."""

    def forward(self, images: Tensor) -> Tensor:
        return 20 * (images - 0.5)


def predictor() -> Predictor:
    recipe = replace(
        recipes.get("cxr-lungs"), preparation=Preparation(size_px=(SIZE, SIZE)), augmentation=Augmentation(shift=0.05),
        postprocess=Postprocess(), tta="none",
    )  # type: ignore[type-var]  # fmt: skip
    return Predictor(recipe, (torch_backend(Bright(), torch.device("cpu")),))


def discs(count: int, *, empty: bool = False) -> InMemory:
    """Bright discs of several sizes on grey, and their masks; or nothing but grey."""
    r, c = np.mgrid[0:SIZE, 0:SIZE] - SIZE / 2
    radii = np.linspace(6, 10, count)[:, None, None]
    masks = torch.from_numpy((np.hypot(r, c) < (0 if empty else radii)) & np.ones_like(radii, bool))[:, None]
    noise = torch.from_numpy(np.random.default_rng(count).normal(0, 0.05, masks.shape)).float()
    cases = [Case(str(index), str(index), Path("x")) for index in range(count)]
    return InMemory(cases, (), (0.25 + 0.5 * masks + noise).clamp(0, 1), masks.to(torch.uint8))


def test_it_tells_good_images_from_shuffled_and_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "COPIES", 60)
    opened = predictor()
    opened = replace(opened, quality=fitting.fit_quality(opened, discs(12), discs(5), flag_below=0.8))
    assert isinstance(opened.quality, QualityModel)
    assert opened.quality.images.mean == ()

    def score(image: Tensor) -> float:
        estimate = opened.predict_prepared(image.numpy()).quality
        assert estimate is not None
        return estimate.score

    new = next(discs(4).batches(range(4), 4)).images
    rng = np.random.default_rng(1)
    proper = [score(image) for image in new]
    assert min(proper) > 0.8
    assert max(score(image) for image in fitting._shuffled(new, 4, rng)) < min(proper)
    assert score(torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))) < 0.5
    assert score(torch.zeros(1, SIZE, SIZE)) < 0.5


def test_the_same_seed_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "COPIES", 10)
    one, again = (fitting.fit_quality(predictor(), discs(6), discs(3)) for _ in range(2))
    assert one == again
    assert one != fitting.fit_quality(predictor(), discs(6), discs(3), seed=1)


@pytest.mark.parametrize("empty", [True, False])
def test_one_image_or_no_foreground_still_gives_a_model(empty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "COPIES", 5)
    quality = fitting.fit_quality(predictor(), discs(1, empty=empty), discs(1, empty=empty))
    numbers = [
        *quality.limits,
        quality.dice.base,
        *quality.dice.weights,
        *(one.base for one in quality.in_distribution),
    ]
    assert np.isfinite(numbers).all()


def test_no_weight_falls_below_zero() -> None:
    """The third measure goes with a better Dice; it is left out, not turned around."""
    rng = np.random.default_rng(0)
    measures = rng.normal(0, 1, (200, len(MEASURES)))
    odds = 2 - 1.5 * measures[:, 0] - 0.5 * measures[:, 1] + measures[:, 2]
    found = fitting._regression(measures, np.append(1 / (1 + np.exp(-odds[:-1])), np.nan))
    assert min(found.weights) == pytest.approx(0, abs=1e-9)
    assert found.weights[0] > 2 * found.weights[1] > 0 and found.weights[2] == pytest.approx(0, abs=1e-9)


def test_the_boundary_lies_half_way_and_a_little_beyond() -> None:
    """Equal spreads: even odds lie in the middle, moved by the prior of 1 in 100, ln 99 · variance / distance."""
    spread = np.array([-1.0, 1.0])
    inside, outside = np.zeros((2, 5)), np.zeros((2, 5))
    inside[:, 3], outside[:, 3] = spread, 4 + spread
    found = fitting._separation(inside, outside, 3)
    even = 2 + np.log(99) / 4
    assert found.at(np.array([0, 0, 0, even, 0])) == pytest.approx(0.5, abs=0.01)
    assert found.at(np.array([9, 9, 9, 0, 9])) > 0.99
    never = fitting._separation(outside, inside, 3)  # it says nothing where shuffled images are the closer ones
    assert never.weights == (0.0,) * 5 and never.at(inside[0]) == pytest.approx(0.99, abs=1e-4)


def test_a_distribution_is_mean_and_shrunken_covariance(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (30, 6)) @ rng.normal(0, 1, (6, 6)) + 5
    whole = fitting._distribution(vectors)
    scaled = (vectors - vectors.mean(0)) / vectors.std(0)
    expected = np.sqrt(LedoitWolf(assume_centered=True).fit(scaled).mahalanobis(scaled) / 6)
    assert np.allclose([whole.distance(vector) for vector in vectors], expected, rtol=0.01)
    monkeypatch.setattr(fitting, "AXES", 3)
    fewer = fitting._distribution(vectors)
    assert (len(fewer.axes), len(whole.axes)) == (3, 6)
    distances = [fewer.distance(vector) for vector in vectors]
    assert np.corrcoef(distances, expected)[0, 1] > 0.7


def test_tiles_are_shuffled_whole() -> None:
    images = torch.arange(2 * 3 * 9 * 8.0).reshape(2, 3, 9, 8)
    mixed = fitting._shuffled(images, 2, np.random.default_rng(3))
    assert mixed.shape == (2, 3, 8, 8)
    assert torch.equal(mixed.flatten().sort().values, images[..., :8, :].flatten().sort().values)
    tiles = {tuple(images[0, :, r : r + 4, c : c + 4].flatten().tolist()) for r in (0, 4) for c in (0, 4)}
    assert {tuple(mixed[0, :, r : r + 4, c : c + 4].flatten().tolist()) for r in (0, 4) for c in (0, 4)} == tiles
    assert not torch.equal(mixed, images[..., :8, :])


def test_the_images_used_are_spread_evenly() -> None:
    assert fitting._evenly(5, 9) == [0, 1, 2, 3, 4]
    assert fitting._evenly(10, 4) == [0, 3, 6, 9]
    assert len(fitting._evenly(1000, 200)) == 200


def test_a_set_that_cannot_be_read_any_more_is_one_line() -> None:
    class Gone(InMemory):
        def batches(self, *_: object, **__: object) -> Iterator[Batch]:  # type: ignore[override]
            return iter(())

    there, gone = discs(2), Gone(discs(2).cases, (), torch.zeros(2), torch.zeros(2))
    for sets, which in (((gone, there), "training"), ((there, gone), "validation")):
        with pytest.raises(BiosegError, match=f"no {which} image can be read any more"):
            fitting.fit_quality(predictor(), *sets)
