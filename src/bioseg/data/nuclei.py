"""Data Science Bowl 2018: ``<id>/images/<id>.png`` and one PNG a nucleus in ``<id>/masks/``."""

from pathlib import Path

from bioseg.data.layout import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """Every id is its own patient; each mask is one nucleus.

    Raises:
        BiosegError: Neither ``folder`` nor ``folder/stage1_train`` has that layout.
    """
    root = root_with(folder, "*/images/*.png", "stage1_train")
    return [
        Case(
            id=picture.stem,
            patient=picture.stem,
            picture=picture,
            masks=tuple(sorted((picture.parent.parent / "masks").glob("*.png"))),
            source="DSB 2018",
        )
        for picture in sorted(root.glob("*/images/*.png"))
    ]
