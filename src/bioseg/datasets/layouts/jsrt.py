"""JSRT X-rays with the SCR lung masks: headerless ``JPC*.IMG`` and GIF masks, or PNG images and masks."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.types import Case, RawFormat

RAW = RawFormat(shape=(2048, 2048), dtype=">u2", white=4095, inverted=True)
SPACING_MM = (0.175, 0.175)
SIDES = (("left_lung", "right_lung"), ("left lung", "right lung"))
_FILM = re.compile(r"JPC(?:LN|NN)\d{3}\.IMG", re.I)


def list_cases(folder: Path) -> list[Case]:
    """One image per patient; the ground truth is the union of both lungs.

    The ``.IMG`` files have 12 bits in big-endian 16, small values bright, .175 mm apart. PNG copies are taken as they
    are: upright polarity, and no spacing where they were shrunk.

    Raises:
        OtherLayoutError: No ``JPC*`` image lies in ``folder``, its ``images`` or in ``JSRT``.
    """
    for root in (folder, folder / "JSRT"):
        for place in (root, root / "images", root / "All247images"):
            images = sorted([*place.glob("JPC*.IMG"), *place.glob("JPC*.png")])
            if images:
                return [_case(image, root) for image in images]
    raise OtherLayoutError(f"{folder}: no JPC*.IMG or images/JPC*.png here; give the unpacked JSRT folder")


def list_organs(folder: Path) -> list[Case]:
    """The same images with the organs told apart: left lung, right lung and, where ``heart`` lies there too, heart.

    Raises:
        OtherLayoutError: See :func:`list_cases`.
    """
    return [_with_organs(case) for case in list_cases(folder)]


def _with_organs(case: Case) -> Case:
    hearts = [heart for mask in case.masks[:1] if (heart := mask.parent.parent / "heart" / mask.name).exists()]
    masks = (*case.masks, *hearts)
    return replace(case, masks=masks, mask_classes=tuple(mask.parent.name.replace("_", " ") for mask in masks))


def is_film(path: Path) -> bool:
    """Whether a file is one of the headerless images, by its name and its size in bytes."""
    if not _FILM.fullmatch(path.name):
        return False
    try:
        return path.is_file() and path.stat().st_size == math.prod(RAW.shape) * np.dtype(RAW.dtype).itemsize
    except OSError:
        return False


def _case(image: Path, root: Path) -> Case:
    raw = image.suffix.upper() == ".IMG"
    masks = [
        mask
        for folder in (root / "masks", root)
        for pair in SIDES
        for side in pair
        for suffix in (".png", ".gif")
        if (mask := folder / side / f"{image.stem}{suffix}").exists()
    ]
    return Case(
        id=image.stem,
        patient=image.stem,
        image=image,
        masks=tuple(masks),
        spacing_mm=SPACING_MM if raw else None,
        source="JSRT",
        raw_format=RAW if raw else None,
    )
