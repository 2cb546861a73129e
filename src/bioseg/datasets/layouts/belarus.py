"""Belarus X-rays: ``images/*.png`` with ``masks/`` of the same names."""

from pathlib import Path

from bioseg.datasets.layouts.common import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """The images with their masks; patients are unknown: the file names are mere numbers.

    Raises:
        OtherLayoutError: Neither ``folder`` nor ``folder/Belarus`` has that layout.
    """
    root = root_with(folder, "images/*.png", "Belarus")
    return [
        Case(
            id=image.stem,
            patient="",
            image=image,
            masks=(mask,) if (mask := root / "masks" / image.name).exists() else (),
            source="Belarus",
        )
        for image in sorted((root / "images").glob("[!.]*.png"), key=lambda path: path.stem)
    ]
