"""Belarus X-rays: ``images/*.png`` with ``masks/`` of the same names."""

from pathlib import Path

from bioseg.data.layout import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """One picture a patient.

    Raises:
        BiosegError: Neither ``folder`` nor ``folder/Belarus`` has that layout.
    """
    root = root_with(folder, "images/*.png", "Belarus")
    return [
        Case(
            id=picture.stem,
            patient=picture.stem,
            picture=picture,
            masks=(mask,) if (mask := root / "masks" / picture.name).exists() else (),
            source="Belarus",
        )
        for picture in sorted((root / "images").glob("*.png"), key=lambda path: path.stem)
    ]
