"""Data Science Bowl 2018: ``<id>/images/<id>.png`` and one PNG per nucleus in ``<id>/masks/``."""

from pathlib import Path

from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """The images, each mask one nucleus; patients are unknown: which images show the same sample was not published.

    Raises:
        OtherLayoutError: Neither ``folder`` nor ``folder/stage1_train`` has that layout.
    """
    for root in (folder / "stage1_train", folder):
        images = [path for path in root.glob("*/images/*.png") if path.stem == path.parent.parent.name]
        if images:
            return [_case(image) for image in sorted(images, key=lambda path: path.stem)]
    raise OtherLayoutError(f"{folder}: no <id>/images/<id>.png here; give the unpacked folder stage1_train")


def _case(image: Path) -> Case:
    return Case(
        id=image.stem,
        patient="",
        image=image,
        masks=tuple(sorted((image.parent.parent / "masks").glob("[!.]*.png"))),
        source="DSB 2018",
    )
