"""Suffixes of image files; ``.nii.gz`` is one."""

from pathlib import Path

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".gif", ".bmp", ".dcm", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd",
    ".czi", ".nd2", ".lif", ".oib", ".oif",
})  # fmt: skip
"""Lower-case suffixes of the files that describe themselves; DICOM files often have none, or any."""

FLAT = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp"})
"""Of files that always hold one image."""


def suffix(path: Path) -> str:
    """The suffix of a file's name, lower case."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def stem(path: Path) -> str:
    """A file's name without its suffix."""
    return path.name[: -len(".nii.gz")] if suffix(path) == ".nii.gz" else path.stem
