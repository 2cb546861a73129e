"""A data set looked through before it is trained on."""

from collections.abc import Sequence
from pathlib import Path

from bioseg.datasets import folders, inspection
from bioseg.datasets.folders import FolderScan
from bioseg.types import SILENT, Callbacks


def check(
    folder: Path,
    report: Path | None = None,
    callbacks: Callbacks = SILENT,
    *,
    select: Sequence[str] = (),
    plane: str = "",
) -> FolderScan:
    """Open every file of a folder, and write the page that shows them if a name for it is given.

    Args:
        folder: Any folder of images and masks.
        report: HTML file to write; one that this function wrote before is replaced.
        callbacks: Hear how far it is.
        select: The channels to look at, see :func:`bioseg.images.channels.select`; empty: all.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.

    Raises:
        BiosegError: There is no such folder, or ``report`` is taken by something else or may not be written.
    """
    opening = callbacks.counter("opening")
    if report is None:
        return inspection.inspect(folders.scan(folder, plane), opening, select=select)
    from bioseg.reports import check_page

    check_page.check_target(report)  # before minutes are spent
    found = folders.scan(folder, plane)
    scan, seen = inspection.examine(found, check_page.viewer(found.cases), opening, select=select)
    check_page.write(scan, seen, report, callbacks.counter("drawing"), select=select)
    return scan
