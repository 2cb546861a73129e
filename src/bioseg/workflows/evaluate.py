"""Score a model on a folder it may never have seen."""

from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.data import folders
from bioseg.inference.predictor import Predictor, read_record
from bioseg.inference.translator import Translator
from bioseg.recipe import SegmentationRecipe, read_cases
from bioseg.reports.page import write_report
from bioseg.types import BiosegError, Case, Problem
from bioseg.workflows.adapt import adapt
from bioseg.workflows.judge import judge
from bioseg.workflows.train import Tell


def evaluate(
    model: Path,
    data: Path,
    out: Path,
    *,
    translator: Path | None = None,
    adapted: bool = False,
    device: str = "auto",
    tell: Tell,
) -> tuple[dict[str, Any], list[Problem]]:
    """Write ``scores.csv``, ``summary.json``, ``figures/`` and ``report.html`` for ``model`` on ``data``.

    With a ``translator``, the run folder of a CycleGAN, pictures get the look of its target first. An ``adapted`` model has the
    batch-norm statistics of these pictures, see :func:`bioseg.workflows.adapt.adapt`.

    Returns:
        The summary, and the cases that could not be judged.

    Raises:
        BiosegError: ``out`` is the model's own folder, or ``data`` holds no picture with a mask.
    """
    if out.resolve() == model.resolve():
        raise BiosegError(f"--out {out}: is the model itself, whose scores would be lost; choose another folder")
    predictor = Predictor.open(model, device)
    if translator:
        predictor.before = Translator.open(translator, device).translate
    cases = [case for case in _cases(predictor.recipe, data) if case.has_truth]
    if not cases:
        raise BiosegError(f"{data}: no picture with a mask; `bioseg predict` outlines pictures without")
    if adapted:
        adapt(predictor, cases)
    result, problems = judge(
        lambda case: predictor, cases, out, progress=lambda done, total: tell("judging", done, total, "")
    )
    how: dict[str, Any] = {"judged_on": data.resolve().name, "model": str(model)}
    if adapted:
        how["adapted"] = True
    if translator:
        how["translator"] = str(translator)
    files.write_json(out / "record.json", {**read_record(model), **how})
    write_report([out])
    return result, problems


def _cases(recipe: SegmentationRecipe, data: Path) -> list[Case]:
    """The data in the layout the model was trained on, else in whatever layout it has."""
    try:
        return read_cases(recipe, data)
    except BiosegError:
        if not data.is_dir():
            raise
        return folders.list_cases(data)
