"""Data Science Bowl 2018: ``<id>/images/<id>.png`` and one PNG a nucleus in ``<id>/masks/``."""

from pathlib import Path

from bioseg.types import BiosegError, Case


def list_cases(folder: Path) -> list[Case]:
    """Every id is its own patient; each mask is one nucleus.

    Raises:
        BiosegError: Neither ``folder`` nor ``folder/stage1_train`` has that layout.
    """
    for root in (folder / "stage1_train", folder):
        images = [path for path in root.glob("*/images/*.png") if path.stem == path.parent.parent.name]
        if images:
            return [_case(image) for image in sorted(images, key=lambda path: path.stem)]
    raise BiosegError(f"{folder}: no <id>/images/<id>.png here; give the unpacked folder stage1_train")


def _case(image: Path) -> Case:
    return Case(
        id=image.stem,
        patient=image.stem,
        image=image,
        masks=tuple(sorted((image.parent.parent / "masks").glob("*.png"))),
        source="DSB 2018",
    )
