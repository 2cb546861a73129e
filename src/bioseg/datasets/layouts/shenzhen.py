"""Shenzhen X-rays: ``CXR_png/CHNCXR_NNNN_L.png``, masks of some of them ``mask/CHNCXR_NNNN_L_mask.png``."""

from pathlib import Path

from bioseg.datasets.layouts.common import root_with
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """One image per patient, NNNN; images without a mask have no ground truth.

    Raises:
        OtherLayoutError: Neither ``folder`` nor ``folder/ShenzhenSet`` has that layout.
    """
    root = root_with(folder, "CXR_png/CHNCXR_*.png", "ShenzhenSet")
    return [
        Case(
            id=image.stem,
            patient=image.stem.split("_")[1],
            image=image,
            masks=(mask,) if (mask := root / "mask" / f"{image.stem}_mask.png").exists() else (),
            source="Shenzhen",
        )
        for image in sorted((root / "CXR_png").glob("CHNCXR_*.png"))
    ]
