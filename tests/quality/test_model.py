"""How far to trust a prediction: the measures on masks made for it, and the score they give."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bioseg.inference import tta
from bioseg.quality.model import DESCRIPTORS, MEASURES, Cloud, Evidence, Falling, Quality, describe, measure
from bioseg.record import decode, encode
from bioseg.types import Mask, QualityEstimate

LIMITS = (-3.0, -3.0, -3.0, 0.5, 0.5)


def lungs(size_px: int = 64, *, down: float = 0.0, scale: float = 1.0) -> Mask:
    """Two upright ellipses side by side."""
    r, c = (np.mgrid[0:size_px, 0:size_px] + 0.5) / size_px
    parts = (np.hypot((r - 0.5 - down) / 0.3, (c - centre) / 0.12) < scale for centre in (0.3, 0.7))
    return np.logical_or(*parts)


def described(mask: Mask) -> dict[str, float]:
    return dict(zip(DESCRIPTORS, describe(mask), strict=True))


def evidence(mask: Mask, *, views: list[Mask] | None = None, features: float = 0.0) -> Evidence:
    """Sure probabilities of ``mask``, seen as such from every view."""
    sure = mask.astype(np.float32)
    seen = np.stack([view.astype(np.float32) for view in views or [mask, mask]])
    return Evidence(seen, sure, mask, 0.5, np.full(4, features, np.float32))


def measured(seen: Evidence, quality: Quality) -> dict[str, float]:
    return dict(zip(MEASURES, measure(seen, quality.contours, quality.images), strict=True))


@pytest.fixture(scope="module")
def quality() -> Quality:
    """Contours like :func:`lungs`, features about 0, and made-up weights."""
    known = np.array([describe(lungs(down=d, scale=s)) for d in (-0.05, 0.0, 0.05) for s in (0.9, 1.0, 1.1)])
    size = len(DESCRIPTORS)
    round_one = Cloud(tuple(known.mean(0)), tuple(np.maximum(known.std(0), 0.05)), (), (), 1.0)
    images = Cloud((0.0,) * 4, (1.0,) * 4, (), (), 1.0)
    assert len(round_one.mean) == size
    gates = Falling(12.0, (0.0, 0.0, 0.0, 12.0, 0.0)), Falling(12.0, (0.0, 0.0, 0.0, 0.0, 12.0))
    return Quality(round_one, images, Falling(-6.0, (0.5, 1.0, 0.5, 0.0, 0.0)), gates, LIMITS, 0.9)


def test_an_contour_is_described_by_what_can_be_seen() -> None:
    both, left = described(lungs()), described(lungs() & (np.arange(64) < 32))
    assert both["parts"] == pytest.approx(np.log(2)) and left["parts"] == 0
    assert (both["largest"], both["second"]) == (0.5, 0.5) and (left["largest"], left["second"]) == (1, 0)
    assert left["area"] == pytest.approx(both["area"] - np.log(2))
    assert np.exp(both["area"]) == pytest.approx(2 * np.pi * 0.3 * 0.12, rel=0.03)
    assert (both["row"], both["col"]) == (0.5, 0.5) and left["col"] == pytest.approx(0.3, abs=0.01)
    assert both["symmetry"] == pytest.approx(1) and both["edge"] == 0
    assert described(lungs(scale=2.0))["edge"] > 0.2
    assert both["height"] == pytest.approx(0.15, abs=0.005) and both["tilt"] == pytest.approx(0, abs=1e-9)
    holes = lungs() & ~((np.arange(64)[:, None] % 4 == 0) & (np.arange(64) % 4 == 0))
    assert described(holes)["solidity"] < both["solidity"] - 0.04
    assert described(holes)["perimeter"] > both["perimeter"] + 0.2


@pytest.mark.parametrize("mask", [np.zeros((9, 7), bool), np.ones((9, 7), bool), np.eye(9, 7, dtype=bool)])
def test_any_mask_can_be_described(mask: Mask) -> None:
    assert np.isfinite(describe(mask)).all()


def test_a_description_is_free_of_the_grid() -> None:
    small, large = describe(lungs(64)), describe(lungs(256))
    assert np.abs(small - large).max() < 0.06


def test_a_distance_is_that_of_mahalanobis() -> None:
    rng = np.random.default_rng(0)
    covariance = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 0.5]])
    values, axes = np.linalg.eigh(covariance[:2, :2])
    flat = tuple((*axis, 0.0) for axis in axes.T)
    cloud = Cloud((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), flat, tuple(np.sqrt(values)), np.sqrt(0.5))
    for vector in rng.normal(0, 3, (5, 3)):
        offset = vector - np.array([1, 2, 3])
        expected = np.sqrt(offset @ np.linalg.inv(covariance) @ offset / 3)
        assert cloud.distance(vector) == pytest.approx(expected)
    assert Cloud((), (), (), (), 1.0).distance(np.empty(0)) == 0  # a network without an encoder has no features


def test_each_measure_rises_with_what_it_stands_for(quality: Quality) -> None:
    calm = measured(evidence(lungs()), quality)
    assert quality.evaluate(evidence(lungs())).score > 0.95
    assert measured(evidence(lungs(), views=[lungs(), lungs(down=0.1)]), quality)["views"] > calm["views"] + 3
    assert measured(evidence(lungs(), features=3.0), quality)["image"] == pytest.approx(np.log(3))
    assert measured(evidence(lungs() & (np.arange(64) < 32)), quality)["contour"] > calm["contour"] + 1
    unsure = replace(evidence(lungs()), probability=np.where(lungs(), 0.6, 0.4).astype(np.float32))
    assert measured(unsure, quality)["doubt"] > calm["doubt"] + 3
    cleaned = replace(evidence(lungs() & (np.arange(64) < 32)), probability=lungs().astype(np.float32))
    assert measured(cleaned, quality)["islands"] > calm["islands"] + 3


def test_reasons_are_given_in_words_and_only_where_they_are_due(quality: Quality) -> None:
    assert quality.evaluate(evidence(lungs())).reasons == ()
    assert not quality.evaluate(evidence(lungs())).flagged
    assert quality.evaluate(evidence(np.zeros((64, 64), bool))).reasons == ("nothing was segmented",)
    lone = quality.evaluate(evidence(lungs() & (np.arange(64) < 32)))
    assert lone.flagged and lone.score < 0.1
    assert lone.reasons[0].startswith(MEASURES["contour"])
    assert "second part missing or too small" in lone.reasons[0] or "largest part too dominant" in lone.reasons[0]
    strange = quality.evaluate(evidence(lungs(), features=5.0))
    assert strange.reasons == (MEASURES["image"],)
    shaken = quality.evaluate(evidence(lungs(), views=[lungs(down=-0.2), lungs(down=0.2)]))
    assert MEASURES["views"] in shaken.reasons


def test_a_flag_has_a_reason_even_where_no_limit_is_exceeded(quality: Quality) -> None:
    strict = replace(quality, least=1.0, limits=(0.0,) * 5)
    assert len(strict.evaluate(evidence(lungs())).reasons) == 1
    assert QualityEstimate(0.5, ("why",)).flagged and not QualityEstimate(0.5).flagged


def test_no_measure_can_raise_a_score(quality: Quality) -> None:
    middle = np.array(LIMITS)
    for index in range(len(MEASURES)):
        scores = [quality.score(middle + step * np.eye(len(MEASURES))[index]) for step in (-9, -1, 0, 1, 9)]
        assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
        assert 0 <= scores[-1] <= scores[0] <= 1


def test_it_survives_being_written(quality: Quality) -> None:
    assert decode(json.loads(json.dumps(encode(quality)))) == quality


class Bright(nn.Module):
    """Marks what is bright; its encoder hands out two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Maps()

    def forward(self, images: Tensor) -> Tensor:
        self.encoder(images)
        return 20 * (images - 0.5)


class Maps(nn.Module):
    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, torch.cat([images, 2 * images], dim=1)]


def test_the_altered_view_comes_back_in_its_place() -> None:
    """What is clearly bright stays so, in its place; what is a little too dark to be marked, no longer is."""
    image = torch.full((1, 1, 50, 50), 0.1)
    image[..., 10:30, 15:35], image[..., 35:45, 15:35] = 1.0, 0.4
    _, seen = tta.views([Bright()], image, altered=True)
    assert seen.shape == image.shape
    wrong = (seen > 0.5) != (image > 0.2)
    assert wrong.float().mean() < 0.04
    assert (seen[..., 36:44, 16:34] > 0.5).all() and (seen[..., :8, :] < 0.5).all()


def test_features_are_the_means_of_the_deepest_map() -> None:
    image = torch.rand(2, 1, 8, 8)
    network = Bright()
    with tta.encoded(network) as heard:
        network(image)
    network(image)
    mean = image.mean((1, 2, 3))
    assert len(heard) == 1 and torch.allclose(heard[0], torch.stack([mean, 2 * mean], dim=1))
    with tta.encoded(nn.Conv2d(1, 1, 1)) as heard:
        nn.Conv2d(1, 1, 1)(image)
    assert heard == []
