"""The quality model: its measures on masks made for it, the score they give, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bioseg.inference.predictor import Evidence
from bioseg.quality.model import DESCRIPTORS, MEASURES, Distribution, Logistic, QualityModel, describe, measure
from bioseg.record import decode, encode
from bioseg.types import BiosegError, Mask, QualityEstimate

LIMITS = (-3.0, -3.0, -3.0, 0.5, 0.5)


def lungs(size_px: int = 64, *, down: float = 0.0, scale: float = 1.0) -> Mask:
    """Two upright ellipses side by side."""
    r, c = (np.mgrid[0:size_px, 0:size_px] + 0.5) / size_px
    parts = (np.hypot((r - 0.5 - down) / 0.3, (c - centre) / 0.12) < scale for centre in (0.3, 0.7))
    return np.logical_or(*parts)


def described(mask: Mask) -> dict[str, float]:
    return dict(zip(DESCRIPTORS, describe(mask), strict=True))


def evidence(mask: Mask, *, copies: list[Mask] | None = None, features: float = 0.0) -> Evidence:
    """Certain probabilities of ``mask``, the same for every copy."""
    sure = mask.astype(np.float32)
    stack = np.stack([copy.astype(np.float32) for copy in copies or [mask, mask]])
    return Evidence(stack, sure, mask, 0.5, np.full(4, features, np.float32))


def measured(seen: Evidence, quality: QualityModel) -> dict[str, float]:
    return dict(zip(MEASURES, measure(seen, quality.shapes, quality.images), strict=True))


@pytest.fixture(scope="module")
def quality() -> QualityModel:
    """Contours like :func:`lungs`, features about 0, and made-up weights."""
    known = np.array([describe(lungs(down=d, scale=s)) for d in (-0.05, 0.0, 0.05) for s in (0.9, 1.0, 1.1)])
    size = len(DESCRIPTORS)
    shapes = Distribution(tuple(known.mean(0)), tuple(np.maximum(known.std(0), 0.05)), (), (), 1.0)
    images = Distribution((0.0,) * 4, (1.0,) * 4, (), (), 1.0)
    assert len(shapes.mean) == size
    in_distribution = Logistic(12.0, (0.0, 0.0, 0.0, 12.0, 0.0)), Logistic(12.0, (0.0, 0.0, 0.0, 0.0, 12.0))
    return QualityModel(shapes, images, Logistic(-6.0, (0.5, 1.0, 0.5, 0.0, 0.0)), in_distribution, LIMITS, 0.9)


def test_a_contour_is_described_by_what_can_be_seen() -> None:
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
    distribution = Distribution((1.0, 2.0, 3.0), (1.0, 1.0, 1.0), flat, tuple(np.sqrt(values)), np.sqrt(0.5))
    for vector in rng.normal(0, 3, (5, 3)):
        offset = vector - np.array([1, 2, 3])
        expected = np.sqrt(offset @ np.linalg.inv(covariance) @ offset / 3)
        assert distribution.distance(vector) == pytest.approx(expected)
    assert Distribution((), (), (), (), 1.0).distance(np.empty(0)) == 0  # a network without an encoder has no features


def test_each_measure_rises_with_what_it_stands_for(quality: QualityModel) -> None:
    calm = measured(evidence(lungs()), quality)
    assert quality.estimate(evidence(lungs())).score > 0.95
    assert (
        measured(evidence(lungs(), copies=[lungs(), lungs(down=0.1)]), quality)["disagreement"]
        > calm["disagreement"] + 3
    )
    assert measured(evidence(lungs(), features=3.0), quality)["image"] == pytest.approx(np.log(3))
    assert measured(evidence(lungs() & (np.arange(64) < 32)), quality)["shape"] > calm["shape"] + 1
    unsure = replace(evidence(lungs()), probability=np.where(lungs(), 0.6, 0.4).astype(np.float32))
    assert measured(unsure, quality)["uncertainty"] > calm["uncertainty"] + 3
    cleaned = replace(evidence(lungs() & (np.arange(64) < 32)), probability=lungs().astype(np.float32))
    assert measured(cleaned, quality)["cleanup"] > calm["cleanup"] + 3


def test_reasons_are_given_in_words_and_only_where_they_are_due(quality: QualityModel) -> None:
    assert quality.estimate(evidence(lungs())).reasons == ()
    assert not quality.estimate(evidence(lungs())).flagged
    assert quality.estimate(evidence(np.zeros((64, 64), bool))).reasons == ("nothing was segmented",)
    lone = quality.estimate(evidence(lungs() & (np.arange(64) < 32)))
    assert lone.flagged and lone.score < 0.1
    assert lone.reasons[0].startswith(MEASURES["shape"])
    assert (
        "second component missing or too small" in lone.reasons[0] or "largest component too large" in lone.reasons[0]
    )
    strange = quality.estimate(evidence(lungs(), features=5.0))
    assert strange.reasons == (MEASURES["image"],)
    shaken = quality.estimate(evidence(lungs(), copies=[lungs(down=-0.2), lungs(down=0.2)]))
    assert MEASURES["disagreement"] in shaken.reasons


def test_a_flag_has_a_reason_even_where_no_limit_is_exceeded(quality: QualityModel) -> None:
    strict = replace(quality, flag_below=1.0, limits=(0.0,) * 5)
    assert len(strict.estimate(evidence(lungs())).reasons) == 1
    assert QualityEstimate(0.5, ("why",)).flagged and not QualityEstimate(0.5).flagged


def test_no_measure_can_raise_a_score(quality: QualityModel) -> None:
    middle = np.array(LIMITS)
    for index in range(len(MEASURES)):
        scores = [quality.score(middle + step * np.eye(len(MEASURES))[index]) for step in (-9, -1, 0, 1, 9)]
        assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
        assert 0 <= scores[-1] <= scores[0] <= 1


def test_it_survives_being_written(quality: QualityModel) -> None:
    assert decode(json.loads(json.dumps(encode(quality))), "test") == quality


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("shapes", {"mean": (0.0,) * 12, "scale": (1.0,) * 12}), ("shapes", {"mean": (NAN,) * 13}),
        ("shapes", {"scale": (0.0,) * 13}),
        ("shapes", {"scale": (1.0,) * 4}), ("shapes", {"rest": 0.0}), ("shapes", {"rest": INF}),
        ("shapes", {"spread": (1.0,)}), ("shapes", {"axes": ((1.0,) * 12,), "spread": (1.0,)}),
        ("shapes", {"axes": ((1.0,) * 13,), "spread": (-1.0,)}), ("shapes", {"axes": ((NAN,) * 13,), "spread": (1.0,)}),
        ("shapes", {"mean": ("a",) * 13}), ("shapes", {"mean": 3}), ("shapes", {"axes": None}),
        ("dice", {"weights": (-0.1,) + (0.0,) * 4}), ("dice", {"weights": ()}), ("dice", {"base": NAN}),
        ("dice", {"weights": (True,) * 5}), ("dice", {"base": "high"}), ("", {"limits": (0.0,) * 4}),
        ("", {"limits": (INF,) * 5}), ("", {"limits": None}), ("", {"flag_below": 2.0}), ("", {"flag_below": NAN}),
        ("", {"images": None}), ("", {"in_distribution": (1, 2)}), ("", {"shapes": 3}),
    ],
)  # fmt: skip
def test_a_model_is_valid_once_built(quality: QualityModel, part: str, changes: dict[str, object]) -> None:
    with pytest.raises(BiosegError, match="|".join((part or "limits", *changes))) as caught:
        replace(quality, **({part: replace(getattr(quality, part), **changes)} if part else changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("part", ["copies", "probability", "features"])
def test_evidence_that_is_not_finite_is_flagged(quality: QualityModel, part: str, value: float) -> None:
    """A NaN feature once had a distance of 0, a NaN probability counted as background: nothing was flagged."""
    seen = evidence(lungs())
    bad = getattr(seen, part).copy()
    bad.flat[0] = value
    found = replace(quality, flag_below=0.0).estimate(replace(seen, **{part: bad}))
    assert found.flagged and found.score == 0.0
    assert found.reasons == (f"quality cannot be estimated: the network's {part} are not finite",)


def test_features_of_another_network_are_refused(quality: QualityModel) -> None:
    with pytest.raises(BiosegError, match="3 features, it was fitted on 4"):
        quality.estimate(replace(evidence(lungs()), features=np.zeros(3, np.float32)))


def test_every_score_is_a_number_between_0_and_1(quality: QualityModel) -> None:
    rng = np.random.default_rng(0)
    for seen in (evidence(np.ones((9, 7), bool)), evidence(np.zeros((9, 7), bool)), evidence(rng.random((9, 7)) > 0.5)):
        for features in (0.0, 1e-30, 1e30):
            score = quality.estimate(replace(seen, features=np.full(4, features, np.float32))).score
            assert 0 <= score <= 1
