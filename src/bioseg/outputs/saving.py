"""The files of one predicted image: which formats there are, what was asked for, and writing them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from bioseg.images import png
from bioseg.outputs import class_tiff, geojson, label_tiff, nifti, overlay, rois
from bioseg.outputs.names import CLASSES, LABELS, MASK, PROBABILITY, SUFFIXES
from bioseg.outputs.segmented import Segmented
from bioseg.types import BiosegError

INSTALL = "pip install 'bioseg[formats]'"


@dataclass(frozen=True)
class Format:
    """A file for every image.

    Attributes:
        suffix: Of its name.
        write: (path, segmented) → nothing.
        package: That it needs beside bioseg's own; empty: none.
    """

    suffix: str
    write: Callable[[Path, Segmented], None]
    package: str = ""

    @property
    def available(self) -> bool:
        """Whether it can be written here."""
        return not self.package or installed(self.package)


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return util.find_spec(package) is not None


def _write_mask(path: Path, one: Segmented) -> None:
    """0 and 255; of several classes their values."""
    if one.several:
        png.write_bytes(path, one.prediction.class_map)
    else:
        png.write_mask(path, one.prediction.mask)


IMAGES = {
    "mask": Format(MASK, _write_mask),
    "labels": Format(LABELS, lambda path, one: png.write_labels(path, one.objects)),
    "classes-tiff": Format(CLASSES, class_tiff.write),
    "labels-tiff": Format(".labels.tif", label_tiff.write),
    "overlay": Format(".overlay.png", overlay.write),
    "rois": Format(".rois.zip", rois.write, "roifile"),
    "geojson": Format(".geojson", geojson.write),
    "nifti": Format(".nii.gz", nifti.write, "nibabel"),
    "probability": Format(PROBABILITY, lambda path, one: png.write_probability(path, one.prediction.probability)),
}
"""The formats of one file per image, by the word for each."""

NIFTI, DICOM_SEG, SIDES, DICOM_SR, CSV = "nifti", "dicom-seg", "dicom-seg-sides", "dicom-sr", "csv"
"""Words for what is written once for all slices of a volume, for a series, and for all images together."""

PACKAGES = {word: one.package for word, one in IMAGES.items() if one.package} | dict.fromkeys(
    (DICOM_SEG, SIDES, DICOM_SR), "highdicom"
)
"""What a format needs that does not come with bioseg itself."""

IMPLIED = {SIDES: {DICOM_SEG}, DICOM_SR: {DICOM_SEG, SIDES}}
"""A report refers to a SEG, and measures each lung."""

WORDS = (
    "mask", "labels", "labels-tiff", "classes-tiff", "overlay", "rois", "geojson", NIFTI, DICOM_SEG, SIDES, DICOM_SR, CSV,
    "probability",
)  # fmt: skip


def choose(asked: str | Sequence[str], *, instances: bool, overlapping: bool = False) -> frozenset[str]:
    """The words of what is to be written.

    Args:
        asked: Words, or text in which commas separate them; empty: masks, tables, labels where there are objects, and a page
            for each class where classes overlap.
        instances: Whether the model separates objects.
        overlapping: Whether it has classes that overlap.

    Raises:
        BiosegError: A word is not one of :data:`WORDS`, or needs a package that is not installed.
    """
    words = [word.strip() for word in (asked.split(",") if isinstance(asked, str) else asked)]
    if unknown := [word for word in words if word not in WORDS and (word or len(words) > 1)]:
        raise BiosegError(f"--save {unknown[0]!r}: unknown; choose of {','.join(WORDS)}")
    usual = {"mask", CSV, *(["labels"] if instances else []), *(["classes-tiff"] if overlapping else [])}
    chosen = frozenset(filter(None, words)) or frozenset(usual)
    for word, package in PACKAGES.items():
        if word in chosen and not installed(package):
            raise BiosegError(f"--save {word}: needs the package {package}; {INSTALL}")
    return chosen.union(*(IMPLIED.get(word, ()) for word in chosen))


def write_files(stem: Path, segmented: Segmented, chosen: Iterable[str]) -> None:
    """Write the files of one image, all or none.

    A file of another format that an earlier prediction left is written anew, to belong to the same prediction.

    Args:
        stem: Folder and name, without suffix.
        segmented: What to write.
        chosen: See :func:`choose`.

    Raises:
        BiosegError: One could not be written; the image then has none.
    """
    try:
        for word, one in IMAGES.items():
            path = stem.with_name(stem.name + one.suffix)
            if word in chosen or (path.exists() and one.available):
                one.write(path, segmented)
            elif path.exists():
                path.unlink()
    except BiosegError:
        remove_files(stem)
        raise


def remove_files(stem: Path) -> None:
    """Remove every file of one image."""
    for suffix in SUFFIXES:
        stem.with_name(stem.name + suffix).unlink(missing_ok=True)
