"""The page of one run, or of several side by side."""

from collections.abc import Sequence
from pathlib import Path

from bioseg import user_code
from bioseg.record import decode_recipe, read_record
from bioseg.reports.page import write_report
from bioseg.types import BiosegError


def report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page and say where it is.

    Raises:
        BiosegError: A folder is not a run, or a run has no scores yet.
    """
    for run in runs:
        record = read_record(run)
        decode_recipe(record, run, user_code.unopened(record))
        if "generator" in record["recipe"]:
            raise BiosegError(f"{run}: is a translator and has no scores; look at its images/ and figures/")
        if not (run / "summary.json").exists():
            raise BiosegError(f"{run}: has no scores yet; finish it with `bioseg train … --resume`")
    return write_report(runs, out)
