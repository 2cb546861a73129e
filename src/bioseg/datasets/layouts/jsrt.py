"""JSRT X-rays with the SCR lung masks: headerless ``JPC*.IMG`` and GIF masks, or PNG images and masks."""

from pathlib import Path

from bioseg.types import BiosegError, Case, RawFormat

RAW = RawFormat(shape=(2048, 2048), dtype=">u2", white=4095, inverted=True)
SPACING_MM = (0.175, 0.175)
SIDES = (("left_lung", "right_lung"), ("left lung", "right lung"))


def list_cases(folder: Path) -> list[Case]:
    """One image a patient; the truth is the union of both lungs.

    The ``.IMG`` files have 12 bits in big-endian 16, small values bright, .175 mm apart. PNG copies are taken as they
    are: upright polarity, and no spacing where they were shrunk.

    Raises:
        BiosegError: No ``JPC*`` image lies in ``folder``, its ``images`` or in ``JSRT``.
    """
    for root in (folder, folder / "JSRT"):
        for place in (root, root / "images", root / "All247images"):
            images = sorted([*place.glob("JPC*.IMG"), *place.glob("JPC*.png")])
            if images:
                return [_case(image, root) for image in images]
    raise BiosegError(f"{folder}: no JPC*.IMG or images/JPC*.png here; give the unpacked JSRT folder")


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
