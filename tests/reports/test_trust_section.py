"""What the page says of the estimated quality."""

from pathlib import Path

import numpy as np
import pytest

from bioseg.evaluation.summary import Row
from bioseg.reports import trust
from bioseg.reports.run_folder import Run


def run_of(rows: list[Row]) -> Run:
    return Run(Path("x"), {}, {}, {}, rows, [])


def rows(count: int) -> list[Row]:
    """Dice falls from case to case; the two worst are flagged; quality knows all but the three worst."""
    dice = np.linspace(0.99, 0.6, count)
    quality = np.where(np.arange(count) < count - 3, dice, 0.97)
    return [
        Row(str(n), str(n), "", {"dice": dice[n], "quality": quality[n], "flagged": float(n >= count - 2)})
        for n in range(count)
    ]


def test_it_says_what_flags_and_rejecting_are_worth() -> None:
    table = rows(60)
    first, second = trust.trust(run_of(table))
    dice = np.array([row.scores["dice"] for row in table])
    assert first.startswith("The model flags 2 of 60 images for review.")
    assert f"{dice[-2:].mean():.3f}" in first and f"{dice[:-2].mean():.3f}" in first
    after = np.percentile(np.delete(dice, [54, 55, 56]), 5)  # three are put aside, not the worst ones
    before, best = np.percentile(dice, 5), np.percentile(dice[:-3], 5)
    assert before < after < best
    assert f"is {after:.3f} instead of {before:.3f}" in second and f"would be {best:.3f}" in second


def test_few_images_have_no_twentieth_and_none_no_section() -> None:
    assert len(trust.trust(run_of(rows(19)))) == 1
    assert trust.trust(run_of([Row("a", "a", "", {"dice": 0.9})])) == []
    undefined = [*rows(20), Row("b", "b", "", {"dice": float("nan"), "quality": 0.1, "flagged": 1.0})]
    assert "of 20 images" in trust.trust(run_of(undefined))[0]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_figure_starts_with_all_images(count: int) -> None:
    axis = trust.rejection(rows(count)).axes[0]
    dice = [row.scores["dice"] for row in rows(count)]
    mean, best = axis.lines[0].get_ydata(), axis.lines[1].get_ydata()
    assert (mean[0], best[0]) == pytest.approx((np.mean(dice),) * 2)
    assert (np.asarray(best) >= np.asarray(mean) - 1e-12).all()
    assert axis.lines[2].get_ydata()[0] == pytest.approx(np.percentile(dice, 5))  # type: ignore[index]
