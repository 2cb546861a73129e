"""Small images, masks and DICOM files for tests of folders."""

from pathlib import Path

import numpy as np
from PIL import Image

from bioseg.datasets.phantom_layouts import dicom_bytes


def write(path: Path, *, shape: tuple[int, ...] = (8, 10), value: int | None = None) -> Path:
    """Noise without a value; black for 0; else a rectangle of 12 px of that value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, np.uint8) if value == 0 else np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    if value:
        pixels = np.zeros(shape, np.uint8)
        pixels[2:5, 2:6] = value
    Image.fromarray(pixels).save(path)
    return path


def write_pair(root: Path, name: str, *, part: str = "") -> None:
    """``images/NAME.png`` and ``masks/NAME.png``."""
    write(root / part / "images" / f"{name}.png")
    write(root / part / "masks" / f"{name}.png", value=255)


def write_dicom(root: Path, name: str, patient: str) -> None:
    """``NAME.dcm`` with that PatientID, and its mask."""
    pixels = np.random.default_rng(len(name)).integers(0, 255, (8, 10), np.uint8)
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "images" / f"{name}.dcm").write_bytes(dicom_bytes(pixels, patient=patient))
    write(root / "masks" / f"{name}.png", value=255)
