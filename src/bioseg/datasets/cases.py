"""A case's image and ground truth, read from its files. Masks lie on the image's own grid."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bioseg.images import formats
from bioseg.images.formats import RawImage
from bioseg.types import Array, BiosegError, Box, Case, Labels, Mask, printable

LOSSY = (".jpg", ".jpeg")


def read_image(case: Case) -> RawImage:
    """The image as stored; its spacing is the file's own, or else the case's.

    Raises:
        UnreadableImage: See :func:`bioseg.images.formats.read`.
    """
    raw_image = formats.read(case.image, case.raw_format, plane=case.plane)
    return raw_image if raw_image.spacing_mm else replace(raw_image, spacing_mm=case.spacing_mm)


def read_mask(case: Case, shape: tuple[int, int]) -> Mask:
    """The union of a case's mask files and boxes; see :func:`each_mask`.

    Raises:
        BiosegError: See :func:`each_mask`.
    """
    union = np.zeros(shape, np.bool_)
    for mask in each_mask(case, shape):
        union |= mask
    return union


def read_labels(case: Case, shape: tuple[int, int]) -> Labels:
    """The objects of a case: one number per mask file or box, in their order; where two overlap the first is kept.

    A single file keeps its own numbers if it is a label image: several flat regions of one value each (or of one colour,
    numbered in order). If it is a mask it is one object, soft edges included; touching parts are not separated.

    Args:
        case: With ground truth.
        shape: (rows, cols) of its image.

    Returns:
        [rows, cols], 0 in the background.

    Raises:
        BiosegError: See :func:`each_mask`.
    """
    if len(case.masks) == 1 and not case.boxes and case.masks[0].suffix.lower() not in (".txt", *LOSSY):
        path = case.masks[0]
        values = _one_channel(_read_mask_file(path, case).pixels)
        if np.issubdtype(values.dtype, np.integer) and _is_labels(values):
            return _on_grid(np.maximum(values, 0).astype(np.int32), path, case, shape)
    labels = np.zeros(shape, np.int32)
    for number, mask in enumerate(each_mask(case, shape), 1):
        labels[mask & (labels == 0)] = number
    return labels


def each_mask(case: Case, shape: tuple[int, int]) -> Iterator[Mask]:
    """The parts of a case's ground truth one by one, on the image's grid: its mask files in order, then its boxes.

    Foreground is: in a mask, a pixel with a value above 0 in any channel but alpha (in a JPEG, whose edges ring, above
    half of white); in a ``.txt`` contour, a pixel whose centre lies in the polygon; in a box, whose edges are truncated
    to whole pixels, every pixel. The masks of a headerless image may be drawn on a grid that is coarser by a whole
    number, as the lung masks of JSRT are; each of their pixels then covers a block.

    Args:
        case: With ground truth.
        shape: (rows, cols) of its image.

    Raises:
        BiosegError: The case has no ground truth, a file cannot be read, or it is of another size than the image.
    """
    if not case.has_truth:
        raise BiosegError(f"{printable(case.path)}: has neither mask nor boxes; add one or leave it out")
    for path in case.masks:
        yield (
            _polygon(path, shape)
            if path.suffix.lower() == ".txt"
            else _on_grid(_foreground(path, case), path, case, shape)
        )
    for box in case.boxes or ():
        yield _filled(box, shape)


def _read_mask_file(path: Path, case: Case) -> RawImage:
    """The plane of a mask file that belongs to the case."""
    if case.plane is not None and (found := formats.planes(path)) != case.planes:
        raise BiosegError(
            f"{printable(path)}: has {found} planes, its image {printable(case.path.name)} {case.planes}; draw the mask on "
            "the image's own grid"
        )
    return formats.read(path, plane=case.plane)


def _foreground(path: Path, case: Case) -> Mask:
    raw_image = _read_mask_file(path, case)
    values = raw_image.pixels
    floor = (raw_image.white or 0) / 2 if path.suffix.lower() in LOSSY else 0
    mask: Mask = (values if values.ndim == 2 else values[..., :3].max(axis=-1)) > floor
    return mask


def _on_grid(mask: Array, path: Path, case: Case, shape: tuple[int, int]) -> Array:
    if mask.shape == shape:
        return mask
    factor = shape[0] // mask.shape[0]
    if case.raw_format and (mask.shape[0] * factor, mask.shape[1] * factor) == shape:
        return mask.repeat(factor, axis=0).repeat(factor, axis=1)
    own, other = (f"{rows}×{cols}" for rows, cols in (mask.shape, shape))
    image = printable(case.path.name)
    raise BiosegError(f"{printable(path)}: is {own}, its image {image} {other}; draw the mask on the image's own grid")


def _polygon(path: Path, shape: tuple[int, int]) -> Mask:
    from skimage.draw import polygon2mask

    try:
        formats.check_file(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, BiosegError) as fault:
        reason = f"{fault.strerror}; check the path" if isinstance(fault, OSError) else fault
        raise BiosegError(f"{printable(path)}: {reason}") from None
    except UnicodeDecodeError:
        lines = []
    try:
        points = np.array([line.split() for line in lines if line.strip()], float)
    except ValueError:
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise BiosegError(
            f"{printable(path)}: no contour; it needs three lines or more of 'x y' in pixels, as UTF-8 text"
        )
    mask: Mask = polygon2mask(shape, points[:, ::-1])
    return mask


def _filled(box: Box, shape: tuple[int, int]) -> Mask:
    left, top = int(box.x), int(box.y)
    right, bottom = left + int(box.width), top + int(box.height)
    mask = np.zeros(shape, np.bool_)
    mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return mask


def _one_channel(values: Array) -> Array:
    """Grey as it is; one of equal channels; for colours a number each, 0 for black."""
    if values.ndim == 2:
        return values
    colours = values[..., :3]
    if (colours == colours[..., :1]).all():
        return colours[..., 0]
    if not np.issubdtype(values.dtype, np.integer):
        return np.asarray(colours.max(axis=-1))
    packed = colours.astype(np.int64) @ np.array([1 << 32, 1 << 16, 1])
    _, numbers = np.unique(np.append(0, packed), return_inverse=True)
    return numbers[1:].reshape(packed.shape)


def _is_labels(values: Array) -> bool:
    """Whether two values or more, and at least half of all values, have a pixel whose four neighbours share its value.

    The edge of a mask that was smoothed or shrunk has many values, but no such pixels.
    """
    middle = values[1:-1, 1:-1]
    flat = middle > 0
    for neighbour in (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:]):
        flat = flat & (neighbour == middle)
    regions = len(np.unique(middle[flat]))
    return regions >= 2 and 2 * regions >= len(np.unique(values[values > 0]))
