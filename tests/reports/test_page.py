"""What the page must say of a run folder, whole or with parts missing."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bioseg import files
from bioseg.evaluation.summary import Row, summarise, write_csv
from bioseg.reports import page, sentences
from bioseg.reports.page import write_report
from bioseg.reports.run_folder import read_run
from bioseg.types import BiosegError

from .run_folders import journal, write_run

PARTS = ("record.json", "journal.jsonl", "scores.csv", "summary.json", "figures")
VOID = {"meta", "img", "path", "line", "rect", "br"}


class Segment(HTMLParser):
    """Collects text, addresses and images; fails at tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(html)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.text += " " if tag == "small" else ""
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag == "img":
            self.images.append(found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag in ("td", "th", "small"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def read(path: Path) -> Segment:
    return Segment(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "nuclei", size_px=32)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run without figures, to be changed."""
    return write_run(tmp_path / "run", size_px=32, draw=False)


def test_the_page_holds_everything_inside_it(run: Path) -> None:
    path = write_report([run])
    assert path == run / "report.html"
    seen = read(path)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in seen.addresses)
    assert not re.search(r"@import|url\(|<script|https?://", path.read_text(encoding="utf-8"))
    drawn = {file.read_bytes() for file in (run / "figures").glob("*.png")}
    assert len(drawn) == 8 < len(page.FIGURES)  # the others need objects, boxes, or a training
    assert {base64.b64decode((image["src"] or "").partition(",")[2]) for image in seen.images} == drawn
    assert all(image["alt"] for image in seen.images)


def test_it_says_what_a_reader_wants_to_know(run: Path) -> None:
    said = read(write_report([run])).text
    dice = json.loads((run / "summary.json").read_text())["dice"]
    record = json.loads((run / "record.json").read_text())
    for words in (
        "Cell nuclei in microscopy", f"a mean Dice of {dice['mean']:.3f}", f"from {dice['ci95'][0]:.3f} to {dice['ci95'][1]:.3f}",
        "8 images of 4 patients", f"{dice['mean']:.4f} ± {dice['sd']:.4f}", f"{dice['p5']:.4f}", dice["worst_case"],
        "stage1_train", "8 for training, 8 for validation", "128 × 128 px, colour", "nuclei_unet(in_channels=3)",
        "learning rate 0.001, batch size 16, epochs 30",
        "on each image's own grid", "4, known from patients.csv",
        "the recipe's: ordered_tail(test=2, validation=0.1)", record["command"],
        record["fingerprint"], record["git_commit"], record["device"], "torch 2.11.0", "2.4 minutes", "overfitting",
        record["reasons"][0], "not a medical device",
    ):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize("missing", PARTS)
def test_a_part_may_be_missing(missing: str, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (shutil.rmtree if missing == "figures" else Path.unlink)(copy / missing)
    seen = read(write_report([copy]))
    assert "not a medical device" in seen.text
    assert bool(seen.images) == (missing != "figures")
    assert ("a mean Dice of" in seen.text) == (missing != "summary.json")
    assert ("Best after epoch" in seen.text) == (missing != "journal.jsonl")


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path: Path, bare: Path) -> None:
    with pytest.raises(BiosegError, match=r"no record\.json and no summary\.json"):
        write_report([tmp_path])
    for name in ("record.json", "journal.jsonl", "summary.json"):
        whole = (bare / name).read_text()
        (bare / name).write_text(whole[:-9])
        with pytest.raises(BiosegError, match=name):
            write_report([bare])
        (bare / name).write_text(whole)


def test_names_from_outside_cannot_become_markup(bare: Path) -> None:
    row = Row("<script>alert(1)</script>", "<b>", "<i>", {"dice": 0.5, "iou": 1 / 3, "precision": 0.5, "recall": 0.5})
    write_csv([row], bare / "scores.csv")
    files.write_json(bare / "summary.json", summarise([row]))
    html = write_report([bare]).read_text(encoding="utf-8")
    assert "<script" not in html and "<b>" not in html and "<i>" not in html.replace("<i></i>", "")
    assert "All images are of one patient" in html


def test_folds(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "folds", folds=11, draw=False, size_px=32)
    said = read(write_report([folder])).text
    assert "each segmented by the fold that was not trained on it" in said
    assert [len(lines) for lines in read_run(folder).journals] == list(range(12, 23))
    assert re.search(r"11 8 8 22 ", said)


def test_sources_and_test_part(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", sources=("north", "south"), draw=False, size_px=32)
    assert "neither trained" not in read(write_report([folder])).text
    shutil.copytree(folder, folder / "test", ignore=shutil.ignore_patterns("test"))
    said = read(write_report([folder])).text
    assert "By source" in said and "north 4" in said and "south 4" in said
    assert "8 images that neither trained the network nor chose its epoch or settings" in said
    assert said.count("Surface Dice") == 2 and said.count("Two-class IoU") == 1


def test_an_evaluation_claims_nothing_about_training(bare: Path) -> None:
    record = json.loads((bare / "record.json").read_text())
    files.write_json(bare / "record.json", {**record, "evaluated_on": "other-hospital", "model": "runs/nuclei"})
    (bare / "journal.jsonl").unlink()
    said = read(write_report([bare])).text
    assert "8 images of 4 patients in other-hospital" in said
    assert "not trained on" not in said and "biased" not in said


def test_undefined_scores_are_told(bare: Path) -> None:
    none = float("nan")
    rows = [
        Row(f"c{k}", f"p{k}", "", {"dice": value, "recall": none}) for k, value in enumerate((0.9, none, 0.7, none))
    ]
    write_csv(rows, bare / "scores.csv")
    files.write_json(bare / "summary.json", summarise(rows))
    said = read(write_report([bare])).text
    assert "2 more have no foreground, neither true nor predicted" in said
    assert "Recall share of the foreground that is predicted – – – – – 4" in said
    rows = [Row("a", "p", "", {"dice": none})]
    write_csv(rows, bare / "scores.csv")
    files.write_json(bare / "summary.json", summarise(rows))
    assert "none has a Dice" in read(write_report([bare])).text


@pytest.mark.parametrize(
    ("lines", "said", "unsaid"),
    [
        (journal(20), "No sign of overfitting", "It overfits"),
        (journal(20, overfits=True), "It overfits: Dice 0.1", "No sign"),
        (journal(20, overfits=True), "Later the validation loss rose", "still improving"),
        (
            [{**row, "loss": 0.9**k, "validation_loss": 0.9**k} for k, row in enumerate(journal(9))],
            "still improving",
            "Later",
        ),
        ([{**row, "dice": 0.01} for row in journal(9)], "hardly learned", "overfitting"),
        (journal(2), "Too few epochs", "overfitting"),
        (
            [{"epoch": k, "loss": 0.1, "validation_loss": 0.1, "best": k == 1} for k in (1, 2, 3)],
            "Best after epoch 1. No sign",
            "still",
        ),
    ],
)
def test_what_is_said_of_the_curves(lines: list[dict[str, float]], said: str, unsaid: str, bare: Path) -> None:
    (bare / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = sentences.learning(read_run(bare))
    assert said in words and unsaid not in words


@pytest.mark.parametrize(
    ("precision", "recall", "words"),
    [
        (0.95, 0.4, "misses 60% of the foreground"),
        (0.4, 0.95, "60% of the prediction is background"),
        (0.5, 0.5, "misses 50% of the foreground, 50% of the prediction is background"),
        (0.97, 0.99, "close to the ground truth"),
        (float("nan"), 0.0, "finds nothing"),
        (0.0, float("nan"), "predicts foreground where there is none"),
    ],
)
def test_faults_in_words(precision: float, recall: float, words: str) -> None:
    assert sentences.fault(Row("a", "p", "", {"precision": precision, "recall": recall})) == words


def test_the_worst_come_first(run: Path) -> None:
    worst = read_run(run).ranked[:6]
    said = read(write_report([run])).text
    table = said[said.index("Where it fails") :]
    places = [table.index(row.case) for row in worst]
    assert places == sorted(places)
    assert [row.scores["dice"] for row in worst] == sorted(row.scores["dice"] for row in worst)


def test_the_strip_runs_from_the_tenth_below_the_worst_to_one(bare: Path) -> None:
    rows = [Row(f"c{k}", f"p{k}", "", {"dice": value}) for k, value in enumerate((0.9, 0.62, 1.0, float("nan")))]
    write_csv(rows, bare / "scores.csv")
    summary = summarise(rows)
    files.write_json(bare / "summary.json", summary | {"dice": {**summary["dice"], "ci95": [0.7, 0.9]}})
    assert page.strip(read_run(bare)) == {"low": 0.6, "interval": [250.0, 750.0], "cases": [50.0, 750.0, 1000.0]}
    write_csv([Row(f"c{k}", "p", "", {"dice": 0.95}) for k in range(5 * page.TICKS)], bare / "scores.csv")
    assert page.strip(read_run(bare))["cases"] == [500.0] * page.TICKS


def test_runs_side_by_side(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", draw=False, size_px=32)
    second = write_run(tmp_path / "second", draw=False, size_px=32, folds=2)
    rows = [Row(row.case, row.patient, row.source, {**row.scores, "dice": 1.0}) for row in read_run(first).table]
    write_csv(rows, second / "scores.csv")
    files.write_json(second / "summary.json", summarise(rows))
    path = write_report([first, second])
    assert path == tmp_path / "comparison.html"
    assert not (first / "report.html").exists()
    seen = read(path)
    old = json.loads((first / "summary.json").read_text())["dice"]["mean"]
    assert f"Mean Dice {old:.4f} 1.0000" in seen.text
    assert f"second compared with first, paired by image: mean difference in Dice {1 - old:+.4f}" in seen.text
    assert "a clear difference). Better in 8, worse in 0, equal in 0 of 8 images" in seen.text
    assert {"#run-1", "#run-2"} <= set(seen.addresses)
    other = [Row(f"x{row.case}", row.patient, "", row.scores) for row in rows]
    write_csv(other, second / "scores.csv")
    assert "share no case" in read(write_report([first, second], tmp_path / "both.html")).text


def test_the_headline_names_the_test_part(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "test", ignore_errors=True)
    assert "nor chose anything" not in read(write_report([copy])).text
    summary = json.loads((run / "summary.json").read_text()) | {"cases": 5}
    summary["dice"]["mean"] = 0.7654
    (copy / "test").mkdir()
    (copy / "test" / "summary.json").write_text(json.dumps(summary))
    assert (
        "On 5 test images, which neither trained nor chose anything, the mean is 0.765."
        in read(write_report([copy])).text
    )


def rewrite(path: Path, **changes: object) -> None:
    files.write_json(path, {**json.loads(path.read_text()), **changes})


def number(path: Path) -> str:
    """The block of the large number."""
    html = path.read_text(encoding="utf-8")
    start = html.index('class="number"')
    return html[start : html.index("</div>", start)]


def test_scores_of_images_that_chose_the_epoch_are_called_biased_beside_the_number(bare: Path) -> None:
    page = write_report([bare])
    assert "optimistically biased" in number(page)
    assert "these validation images also chose the epoch whose weights are kept." in read(page).text
    recipe = json.loads((bare / "record.json").read_text())["recipe"]
    rewrite(bare / "record.json", recipe={**recipe, "choose": {"$call": "bioseg.postprocess.choose:choose_threshold"}})
    assert "whose weights are kept and the postprocessing." in read(write_report([bare])).text


def test_folds_are_called_biased_too(tmp_path: Path) -> None:
    page = write_report([write_run(tmp_path / "folds", folds=3, draw=False, size_px=32)])
    assert "optimistically biased" in number(page)
    assert "validation images of each fold also chose the epoch" in read(page).text


def test_an_evaluation_on_images_that_the_model_knows_is_called_biased(bare: Path) -> None:
    (bare / "journal.jsonl").unlink()
    rewrite(bare / "record.json", evaluated_on="other-hospital")
    rewrite(bare / "summary.json", seen={"train": 3, "validation": 0})
    page = write_report([bare])
    assert "optimistically biased" in number(page)
    assert "of the 8 images, 3 trained the model." in read(page).text
    rewrite(bare / "summary.json", seen={"train": 3, "validation": 2})
    assert "3 trained the model and 2 chose the model" in read(write_report([bare])).text
    rewrite(bare / "summary.json", seen={"train": 0, "validation": 0})
    assert "biased" not in read(write_report([bare])).text
    rewrite(bare / "summary.json", seen=None)
    assert "does not say which images trained it" in read(write_report([bare])).text


def test_unknown_patients_are_told_loudly(bare: Path) -> None:
    assert "Patients unknown" not in read(write_report([bare])).text
    rows = [Row(row.case, f"unknown:{row.case}", row.source, row.scores) for row in read_run(bare).table]
    write_csv(rows, bare / "scores.csv")
    rewrite(bare / "record.json", patients_unknown=8, patients=8)
    said = read(write_report([bare])).text
    assert "Patients unknown: each image counts as its own patient." in said
    assert "they may lie in training and validation alike" in said
    assert "Patientsunknown: each image counts as its own patient" in said  # in the table of what was trained on what
    assert "unknown:case" not in said
    write_csv([*rows[:3], *(Row(f"k{n}", "p", "", rows[0].scores) for n in range(5))], bare / "scores.csv")
    assert "Patients unknown for 3 of 8 images" in read(write_report([bare])).text


@pytest.mark.parametrize(
    ("split_from", "said"), [("the folder's own parts", "Split the folder's own parts"), ("as asked", "Split as asked")]
)
def test_where_the_split_comes_from_is_shown(split_from: str, said: str, bare: Path) -> None:
    rewrite(bare / "record.json", split_from=split_from)
    text = re.sub(r"<[^>]+>", " ", write_report([bare]).read_text(encoding="utf-8")).replace("&#39;", "'")
    assert said in re.sub(r"\s+", " ", text)


def test_one_patient_has_no_interval_and_no_nan(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, draw=False, size_px=32, count=3) for name in ("first", "second")]
    for folder in folders:
        rows = [Row(row.case, "p", "", row.scores) for row in read_run(folder).table]
        write_csv(rows, folder / "scores.csv")
        files.write_json(folder / "summary.json", summarise(rows))
    said = read(write_report(folders)).text
    assert "one patient only, so no interval" in said and not re.search(r"\bnan\b", said)
