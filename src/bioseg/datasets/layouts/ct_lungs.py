"""CT lung slices: ``2d_images/ID_NNNN_Z_NNNN.tif`` with ``2d_masks/`` of the same names."""

from pathlib import Path

from bioseg.datasets.layouts.common import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """Slices of one ID belong to one patient.

    Raises:
        OtherLayoutError: Neither ``folder`` nor ``folder/ct-lungs`` has that layout.
    """
    root = root_with(folder, "2d_images/ID_*.tif", "ct-lungs")
    return [
        Case(
            id=image.stem,
            patient=image.stem.split("_")[1],
            image=image,
            masks=(mask,) if (mask := root / "2d_masks" / image.name).exists() else (),
            source="CT lungs",
        )
        for image in sorted((root / "2d_images").glob("ID_*.tif"))
    ]
