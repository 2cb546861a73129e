"""Who may write where: nothing of a user's, no run and no model is overwritten by something else."""

from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.record import RECORD
from bioseg.types import BiosegError

MARKS = (RECORD, "journal.jsonl", "best.safetensors", "scores.csv", "summary.json")
"""A folder with one of these holds a run, a model or an evaluation."""


def refuse_inputs(out: Path, *inputs: Path) -> None:
    """Refuse an output folder that is a file, or one of the inputs, or holds one.

    Args:
        out: Folder that is to be written.
        inputs: Data and models that are read.

    Raises:
        BiosegError: It may not be written.
    """
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise BiosegError(f"--out {out}: is a file; give a folder")
    here = out.resolve()
    for path in inputs:
        there = path.resolve()
        if there == here or here in there.parents:
            raise BiosegError(f"--out {out}: holds {path}, which is read; choose another folder")


def refuse_unless_run(out: Path, *, resume: bool) -> None:
    """Refuse a folder to train in that holds anything but a run to resume; which run it is, is checked when it is claimed.

    Raises:
        BiosegError: It holds a run that is not resumed, an evaluation, a pretrained model or foreign files.
    """
    record = _record(out)
    if not record.keys().isdisjoint(("evaluated_on", "judged_on", "weights_sha256")):  # the second in format 1
        what = "a pretrained model" if "weights_sha256" in record else "an evaluation"
        raise BiosegError(f"--out {out}: holds {what}, which would be overwritten; choose another folder")
    if record and not resume:
        raise BiosegError(f"--out {out}: holds a run already; continue it with --resume, or choose another folder")
    if not record:
        _refuse_content(out)


def refuse_unless_evaluation(out: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder to evaluate in that holds anything but the evaluation which ``wanted`` describes.

    Args:
        out: Folder that is to be written.
        wanted: What the record of the same evaluation says.

    Raises:
        BiosegError: It holds a run, a model, the evaluation of another model or on other data, or foreign files.
    """
    record = _record(out)
    if not record:
        _refuse_content(out)
    elif any(record.get(key) != value for key, value in wanted.items()):
        what = "the evaluation of another model or on other data" if "evaluated_on" in record else "a run or a model"
        raise BiosegError(f"--out {out}: holds {what}, which would be overwritten; choose another folder")


def refuse_run(out: Path) -> None:
    """Refuse a folder for masks or images that holds a run, a model or an evaluation.

    Raises:
        BiosegError: It does.
    """
    if mark := next((mark for mark in MARKS if (out / mark).exists()), ""):
        raise BiosegError(f"--out {out}: holds a run, a model or an evaluation ({mark}); choose another folder")


def _record(out: Path) -> dict[str, Any]:
    """What the folder's record says, of whatever format; empty where there is none."""
    if not (out / RECORD).exists():
        return {}
    record = files.read_json(out / RECORD, "choose another --out")
    if not isinstance(record, dict) or not record:
        raise BiosegError(f"{out / RECORD}: is not a record; choose another --out")
    return record


def _refuse_content(out: Path) -> None:
    """Hidden files, such as the lock, do not count."""
    there = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.is_dir() else []
    if there:
        raise BiosegError(f"--out {out}: holds other files ({', '.join(there[:3])}); choose a new or an empty folder")
