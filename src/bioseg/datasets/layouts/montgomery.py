"""Montgomery County X-rays: ``CXR_png/MCUCXR_NNNN_L.png``, left and right lung in ``ManualMask``."""

from pathlib import Path

from bioseg.datasets.layouts.common import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """One image per patient, NNNN; the ground truth is the union of both lungs.

    Raises:
        OtherLayoutError: Neither ``folder`` nor a folder in it has that layout.
    """
    root = root_with(folder, "CXR_png/MCUCXR_*.png", "MontgomerySet")
    masks = [root / "ManualMask" / side for side in ("leftMask", "rightMask")]
    return [
        Case(
            id=image.stem,
            patient=image.stem.split("_")[1],
            image=image,
            masks=tuple(mask for side in masks if (mask := side / image.name).exists()),
            source="Montgomery",
        )
        for image in sorted((root / "CXR_png").glob("MCUCXR_*.png"))
    ]
