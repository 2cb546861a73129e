"""What figures must show: every function draws, colours mean their cell, poor cases are framed, nothing global changes."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from bioseg.reports import figures, object_figures
from bioseg.reports.figures import Shown
from bioseg.types import Box, Mask

from .run_folders import journal, rows_of, shown

CASES = shown(4, size_px=32)
GREY = [Shown(case.name, case.image.mean(axis=2), case.truth, case.predicted, case.dice) for case in CASES]
DRAWN: dict[str, Callable[[], Figure]] = {
    "curves of one run": lambda: figures.learning_curves([journal(5)]),
    "curves of folds": lambda: figures.learning_curves([journal(5), journal(9, seed=1), []]),
    "curves without training scores": lambda: figures.learning_curves(
        [[{"epoch": 1, "validation_loss": 0.4, "dice": 0.5, "best": True}]]
    ),
    "no curves": lambda: figures.learning_curves([]),
    "rows": lambda: figures.rows(CASES),
    "rows in grey": lambda: figures.rows(GREY),
    "confusion": lambda: figures.confusion_overlay(CASES),
    "pairs": lambda: figures.pairs([case.image for case in CASES], [case.truth for case in CASES]),
    "objects": lambda: object_figures.objects(CASES[:2]),
    "boxes": lambda: object_figures.boxes([replace(CASES[0], boxes=([Box(2, 2, 9, 9, 0.7)], [Box(3, 3, 9, 9)]))] * 9),
    "boxes of one": lambda: object_figures.boxes([replace(GREY[0], boxes=((), ()))]),
    "overlays": lambda: figures.overlays(CASES),
    "overlay of one": lambda: figures.overlays(GREY[:1]),
    "overlays of none": lambda: figures.overlays([]),
    "best, median, worst": lambda: figures.best_median_worst(CASES[:3]),
    "distribution": lambda: figures.distribution(rows_of(CASES)),
    "distribution by source": lambda: figures.distribution(rows_of(CASES, sources=("north", "south"))),
    "distribution of an unknown score": lambda: figures.distribution(rows_of(CASES), ["dice", "beauty"]),
    "confusion matrix": lambda: figures.confusion_matrix({"tp": 0.2, "fp": 0.1, "fn": 0.1, "tn": 0.6}),
}


def global_settings() -> dict[str, Any]:
    """All but the backend, which matplotlib looks up when it is asked for."""
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_is_drawn_and_not_blank(name: str) -> None:
    before = global_settings()
    pixels = np.array(Image.open(io.BytesIO(figures.png(DRAWN[name]()))).convert("RGB"))
    assert min(pixels.shape[:2]) > 100
    assert pixels.std() > 1
    assert global_settings() == before


def test_every_function_that_makes_a_figure_is_covered() -> None:
    things = [*vars(figures).items(), *vars(object_figures).items()]
    made = {name for name, thing in things if getattr(thing, "__annotations__", {}).get("return") is Figure}
    assert made == {
        "learning_curves", "pairs", "rows", "confusion_overlay", "overlays", "best_median_worst", "distribution",
        "confusion_matrix", "objects", "boxes",
    }  # fmt: skip
    assert len(DRAWN) >= 1.8 * len(made)


@settings(max_examples=30, deadline=None)
@given(arrays(bool, (5, 7)), arrays(bool, (5, 7)))
def test_confusion_colours_mean_their_cell(predicted: Mask, truth: Mask) -> None:
    colours = figures.confusion_colours(predicted, truth)
    assert colours.shape == (5, 7, 4)
    assert (colours[..., 3] == 0.5).all()
    for (row, col), found in np.ndenumerate(predicted):
        red, green, blue = colours[row, col, :3]
        inside = truth[row, col]
        expected = {
            (True, True): red < green == blue,  # cyan
            (True, False): green < blue and green < red,  # magenta
            (False, True): blue < green and blue < red,  # yellow
            (False, False): red == green == blue == 0,
        }
        assert expected[bool(found), bool(inside)]


@given(st.floats(0, 1) | st.just(float("nan")))
@settings(max_examples=20, deadline=None)
def test_poor_cases_are_framed_and_undefined_ones_are_not(dice: float) -> None:
    case = Shown("a", GREY[0].image, GREY[0].truth, GREY[0].predicted, dice)
    axis = figures.overlays([case], poor=0.8).axes[0]
    framed = all(s.get_visible() and s.get_edgecolor() == to_rgba(figures.POOR) for s in axis.spines.values())
    assert framed == (dice < 0.8)


def test_the_dot_marks_the_epoch_that_is_kept() -> None:
    rows = journal(20, overfits=True)
    kept = figures.best_epoch(rows)
    assert [row["epoch"] for row in rows if row["best"]] == [kept["epoch"]]
    assert 1 < kept["epoch"] < 20
    loss, dice = figures.learning_curves([rows]).axes
    for axis, name in ((loss, "validation_loss"), (dice, "dice")):
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(kept["epoch"], kept[name])]


def test_a_dot_for_every_defined_score_and_a_word_about_the_others() -> None:
    table = rows_of(CASES, sources=("north", "south"))
    table[0].scores["recall"] = float("nan")
    axis = figures.distribution(table, ["dice", "recall"]).axes[0]
    assert sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == "o") == 2 * len(CASES) - 1
    assert [label.get_text() for label in axis.get_xticklabels()] == ["Dice", "Recall\n1 undefined"]


def test_big_images_are_reduced_before_drawing() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((1301, 2050), bool)
    truth[400:800, 1000:1600] = True
    image = truth * np.float32(0.5) + rng.random(truth.shape, np.float32) * 0.1
    drawn = figures.best_median_worst([Shown("big", image, truth, truth, 1.0)]).axes[1].images
    assert len(drawn) == 2
    for image in drawn:
        assert max(image.get_array().shape[:2]) <= figures.LONGEST_SIDE
    assert drawn[1].get_array()[..., 3].astype(bool).mean() == pytest.approx(truth.mean(), rel=0.03)


def test_long_names_are_shortened_in_the_middle() -> None:
    name = "0a7d30b252359a10fd298b638b90cb9ada3acced4e0c0e5a3692013f432ee4e9"
    label = Shown(name, GREY[0].image, GREY[0].truth, GREY[0].predicted, 0.5).label
    assert label == "0a7d30b2523…13f432ee4e9\nDice 0.500"
