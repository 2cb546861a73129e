"""Who may write where: nothing of a user's, no run and no model is overwritten by something else."""

from pathlib import Path

from bioseg.record import RECORD, read_record
from bioseg.types import BiosegError


def refuse_foreign(out: Path, *inputs: Path) -> None:
    """Refuse an output folder that is a file, or one of the inputs, or holds one.

    Args:
        out: Folder that is to be written.
        inputs: Data and models that are read.

    Raises:
        BiosegError: It may not be written.
    """
    if out.exists() and not out.is_dir():
        raise BiosegError(f"--out {out}: is a file; give a folder")
    here = out.resolve()
    for path in inputs:
        there = path.resolve()
        if there == here or here in there.parents:
            raise BiosegError(f"--out {out}: holds {path}, which is read; choose another folder")


def refuse_other_run(out: Path, **wanted: str) -> None:
    """Refuse an output folder whose record says something else than ``wanted``.

    Raises:
        BiosegError: It holds a run, a model, or the evaluation of another model or on other data.
    """
    if not (out / RECORD).exists():
        return
    record = read_record(out)
    for key, value in wanted.items():
        if record.get(key) != value:
            found = "the evaluation of another model or data" if "evaluated_on" in record else "a run or a model"
            raise BiosegError(f"--out {out}: holds {found}, which would be overwritten; choose another folder")
