import json
import math
from pathlib import Path

import numpy as np
import pytest

from bioseg import files
from bioseg.evaluation import summary
from bioseg.evaluation.summary import Row
from bioseg.types import BiosegError

NAN = float("nan")


def rows(values: list[float], *, patients: list[str] | None = None, name: str = "dice") -> list[Row]:
    return [Row(f"c{n}", patients[n] if patients else f"p{n}", "here", {name: value}) for n, value in enumerate(values)]


def test_by_hand() -> None:
    result = summary.summarise(rows([0.5, 0.7, 0.9, NAN]))
    assert (result["cases"], result["patients"]) == (4, 4)
    dice = result["dice"]
    assert dice["mean"] == pytest.approx(0.7)
    assert dice["sd"] == pytest.approx(0.2)
    assert dice["median"] == 0.7
    assert dice["p5"] == pytest.approx(0.52)
    assert (dice["worst"], dice["worst_case"], dice["undefined"]) == (0.5, "c0", 1)
    assert 0.5 <= dice["ci95"][0] < 0.7 < dice["ci95"][1] <= 0.9


def test_worst_of_a_distance_is_the_largest() -> None:
    distance = summary.summarise(rows([1.0, 9.0, 2.0], name="hd95_mm"))["hd95_mm"]
    assert (distance["worst"], distance["worst_case"]) == (9.0, "c1")
    assert distance["p5"] == pytest.approx(np.percentile([1, 9, 2], 95))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        low, high = summary.summarise(rows(rng.normal(0.8, 0.1, 40).tolist()))["dice"]["ci95"]
        hits += low <= 0.8 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_many_cases_of_a_patient_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.1, 12)
    once = summary.summarise(rows(values.tolist()))["dice"]["ci95"]
    copies = [float(value) for value in values for _ in range(10)]
    names = [f"p{n}" for n in range(12) for _ in range(10)]
    grouped = summary.summarise(rows(copies, patients=names))["dice"]["ci95"]
    naive = summary.summarise(rows(copies))["dice"]["ci95"]
    assert np.allclose(once, grouped)
    assert naive[1] - naive[0] < 0.5 * (grouped[1] - grouped[0])


def test_one_patient_has_no_interval_and_nothing_defined_is_nan() -> None:
    assert all(map(math.isnan, summary.summarise(rows([0.5, 0.6], patients=["p", "p"]))["dice"]["ci95"]))
    nothing = summary.summarise(rows([NAN, NAN]))["dice"]
    assert nothing["undefined"] == 2
    assert math.isnan(nothing["mean"])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.7, 0.9], [0.5, NAN]])
def test_the_cases_of_one_patient_have_scores_but_no_interval(values: list[float], tmp_path: Path) -> None:
    """No number is made up, and the file says null, not NaN."""
    table = rows(values, patients=["p"] * len(values))
    result = summary.summarise(table)
    assert result["patients"] == 1
    assert result["dice"]["mean"] == pytest.approx(np.nanmean(values))
    assert [math.isnan(bound) for bound in result["dice"]["ci95"]] == [True, True]
    pair = summary.compare(table, rows([value + 0.01 for value in values], patients=["p"] * len(values)))
    assert [math.isnan(bound) for bound in pair["ci95"]] == [True, True]
    files.write_json(tmp_path / "summary.json", result)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["dice"]["ci95"] == [None, None] and "NaN" not in (tmp_path / "summary.json").read_text()


def test_one_patient_among_those_with_a_score_has_no_interval_either() -> None:
    result = summary.summarise(rows([0.5, 0.6, NAN], patients=["p", "p", "q"]))
    assert result["patients"] == 2 and all(map(math.isnan, result["dice"]["ci95"]))


def test_comparison_is_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.3, 0.9, 30)
    first, second = rows(hard.tolist()), rows((hard + rng.normal(0.02, 0.005, 30)).tolist())
    result = summary.compare(first, second[::-1])
    assert result["cases"] == 30
    assert result["difference"] == pytest.approx(0.02, abs=0.005)
    assert 0.01 < result["ci95"][0] < result["ci95"][1] < 0.03
    assert result["better"] >= 28
    unpaired = summary.summarise(first)["dice"]["ci95"]
    assert result["ci95"][1] - result["ci95"][0] < 0.2 * (unpaired[1] - unpaired[0])
    with pytest.raises(BiosegError, match="share no case"):
        summary.compare(first, [Row("other", "p", "", {"dice": 1.0})])


def test_less_distance_is_better() -> None:
    result = summary.compare(rows([5.0, 5.0], name="hd95_px"), rows([3.0, 6.0], name="hd95_px"), score="hd95_px")
    assert (result["better"], result["worse"]) == (1, 1)


def test_the_table_survives_the_disk(tmp_path: Path) -> None:
    table = [Row("a,b", "p", "s", {"dice": 0.25, "iou": NAN}), Row("c", "q", "s", {"dice": NAN, "iou": 1.0})]
    summary.write_csv(table, tmp_path / "scores.csv")
    again = summary.read_csv(tmp_path / "scores.csv")
    assert [(row.case, row.patient, row.source) for row in again] == [("a,b", "p", "s"), ("c", "q", "s")]
    assert again[0].scores["dice"] == 0.25
    assert math.isnan(again[0].scores["iou"])
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(BiosegError, match="not a table of scores"):
        summary.read_csv(tmp_path / "other.csv")
