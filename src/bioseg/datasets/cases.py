"""A case's image and ground truth, read from its files. Masks lie on the image's own grid."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bioseg.classes import EVERYTHING, Classes
from bioseg.datasets import annotations
from bioseg.images import formats
from bioseg.images.formats import RawImage
from bioseg.types import Array, BiosegError, Box, Case, Labels, LabelValue, Mask, Part, printable

LOSSY = (".jpg", ".jpeg")


def read_image(case: Case) -> RawImage:
    """The image as stored; its spacing is the file's own, or else the case's.

    Raises:
        UnreadableImage: See :func:`bioseg.images.formats.read`.
    """
    if case.reader:
        raw_image = formats.read_with(case.reader, case.image)
    else:
        raw_image = formats.read(case.image, case.raw_format, plane=case.plane, level=case.level)
    if raw_image.spacing_mm or not case.spacing_mm:
        return raw_image
    return replace(raw_image, spacing_mm=case.spacing_mm, spacing_from="layout")


@contextmanager
def naming(case: Case) -> Iterator[None]:
    """Put the name of a case's image before the message of what goes wrong with it after it was read."""
    try:
        yield
    except BiosegError as fault:
        raise BiosegError(f"{printable(case.path)}: {fault}") from None


def read_mask(case: Case, shape: tuple[int, int]) -> Mask:
    """The union of a case's mask files and boxes; see :func:`each_part`.

    Raises:
        BiosegError: See :func:`each_part`.
    """
    if len(case.masks) == 1 and not case.boxes and annotations.format_of(case.masks[0]):
        return annotations.united(annotations.read(case.masks[0], shape, case.path, case.plane), shape)
    union = np.zeros(shape, np.bool_)
    for part in each_part(case, shape):
        union |= part.mask
    return union


def read_by_name(case: Case, shape: tuple[int, int]) -> dict[str, Mask]:
    """The mask of each class that the data name, and by "" that of parts without a name; at least one, which may be empty.

    Raises:
        BiosegError: See :func:`each_part`.
    """
    masks: dict[str, Mask] = {}
    for part in each_part(case, shape):
        masks[part.name] = masks[part.name] | part.mask if part.name in masks else part.mask
    return masks or {"": np.zeros(shape, np.bool_)}


def read_classes(case: Case, shape: tuple[int, int], classes: Classes) -> Mask:
    """The mask of each class.

    Args:
        case: With ground truth.
        shape: (rows, cols) of its image.
        classes: Of a single class, parts of another name are left out and parts without a name count.

    Returns:
        [K, rows, cols]; where exclusive classes overlap, the first of them is kept.

    Raises:
        BiosegError: As :func:`each_part`, or a part has none of several classes.
    """
    if classes.whole:
        return read_mask(case, shape)[None]
    masks = np.zeros((len(classes.names), *shape), np.bool_)
    places = {name.casefold(): index for index, name in enumerate(classes.names)}
    for part in each_part(case, shape, classes):
        place = places.get(part.name.casefold(), None if part.name or classes.several else 0)
        if place is not None:
            masks[place] |= part.mask
        elif classes.several:
            found = f"shows class {part.name!r}" if part.name else "does not say of which class its masks are"
            raise BiosegError(
                f"{printable(case.path)}: {found}; preparation.classes has {', '.join(classes.names)}: name it there, or "
                "leave the case out"
            )
    if classes.exclusive:
        for index in range(1, len(masks)):
            masks[index] &= ~masks[:index].any(axis=0)
    return masks


def read_labels(case: Case, shape: tuple[int, int], classes: Classes = EVERYTHING) -> Labels:
    """The objects of a case: one number per mask file or box, in their order; where two overlap the first is kept.

    A single file keeps its own numbers if it is a label image: several flat regions of one value each (or of one colour,
    numbered in order). If it is a mask it is one object, soft edges included; touching parts are not separated. In a file
    whose values are classes, every 8-connected component of a class is an object. An annotation file, see
    :mod:`bioseg.datasets.annotations`, has an object for everything that is drawn in it.

    Args:
        case: With ground truth.
        shape: (rows, cols) of its image.
        classes: Of the recipe.

    Returns:
        [rows, cols], 0 in the background.

    Raises:
        BiosegError: See :func:`each_part`.
    """
    if len(case.masks) == 1 and not case.boxes and annotations.format_of(case.masks[0]):
        return annotations.numbered(annotations.read(case.masks[0], shape, case.path, case.plane), shape)
    by_value = _by_value(case, classes)
    if len(case.masks) == 1 and not (case.boxes or by_value) and case.masks[0].suffix.lower() not in (".txt", *LOSSY):
        path = case.masks[0]
        values = _one_channel(_read(path, case).pixels)
        if np.issubdtype(values.dtype, np.integer) and _is_labels(values):
            return _on_grid(np.maximum(values, 0).astype(np.int32), path, case, shape)
    from skimage.measure import label

    labels, count = np.zeros(shape, np.int32), 0
    for part in each_part(case, shape, classes):
        objects = np.asarray(label(part.mask), np.int32) if by_value else part.mask.astype(np.int32)
        free = (objects > 0) & (labels == 0)
        labels[free] = objects[free] + count
        count += int(objects.max(initial=0)) if by_value else 1
    return labels


def each_part(case: Case, shape: tuple[int, int], classes: Classes = EVERYTHING) -> Iterator[Part]:
    """The parts of a case's ground truth one by one, on the image's grid: its mask files in order, then its boxes.

    What is drawn in an annotation file, see :mod:`bioseg.datasets.annotations`, is a part each, with the name given there.
    Foreground is: in a mask, a pixel with a value above 0 in any channel but alpha (in a JPEG, whose edges ring, above
    half of white); in a ``.txt`` contour, a pixel whose centre lies in the polygon; in a box, whose edges are truncated
    to whole pixels, every pixel. A file whose values are classes has a part for each value. The masks of a headerless
    image may be drawn on a grid that is coarser by a whole number, as the lung masks of JSRT are; each of their pixels
    then covers a block.

    Args:
        case: With ground truth.
        shape: (rows, cols) of its image.
        classes: Of the recipe. Where there are several and nothing says which class a mask file shows, its values do, see
            :attr:`bioseg.classes.Classes.values`.

    Raises:
        BiosegError: The case has no ground truth, a file cannot be read, it is of another size than the image, or it holds a
            value that is no class.
    """
    if not case.has_truth:
        raise BiosegError(f"{printable(case.path)}: has neither mask nor boxes; add one or leave it out")
    for path, name in zip(case.masks, case.mask_classes or [""] * len(case.masks), strict=True):
        if annotations.format_of(path):
            yield from (
                Part(name or one.name, one.mask) for one in annotations.read(path, shape, case.path, case.plane)
            )
        elif path.suffix.lower() == ".txt":
            yield Part(name, _polygon(path, shape))
        elif name or not _by_value(case, classes):
            yield Part(name, _on_grid(_foreground(path, case), path, case, shape))
        else:
            values = case.label_values or tuple(map(LabelValue, classes.names, classes.values))
            yield from _each_value(path, case, shape, values)
    for box in case.boxes or ():
        yield Part("", _filled(box, shape))


def _by_value(case: Case, classes: Classes) -> bool:
    """Whether the values in a case's mask files are classes."""
    return not case.mask_classes and (bool(case.label_values) or classes.several)


def _each_value(path: Path, case: Case, shape: tuple[int, int], values: Sequence[LabelValue]) -> Iterator[Part]:
    pixels = _read(path, case).pixels
    coloured = any(isinstance(one.value, tuple) for one in values)
    if pixels.ndim == 3 and (not coloured or pixels.shape[-1] == 4):
        pixels = pixels[..., :3] if coloured else _one_channel(pixels)
    elif coloured and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    pixels = _on_grid(pixels, path, case, shape)
    rest = pixels != 0
    for one in values:
        mask = pixels == np.array(one.value)
        mask = mask.all(axis=-1) if coloured else mask
        rest[mask] = False
        if mask.any():
            yield Part(one.name, mask)
    if rest.any():
        where = tuple(int(place[0]) for place in np.nonzero(rest.any(axis=-1) if coloured else rest))
        known = ", ".join(f"{one.value} {one.name}" for one in values)
        raise BiosegError(
            f"{printable(path)}: value {pixels[where].tolist()} in row {where[0]}, column {where[1]} is no class ({known}); "
            "name it in classes.csv, or mend the mask"
        )


def _read(path: Path, case: Case) -> RawImage:
    """A mask file, of several planes that of the case; one of a kind that bioseg does not know by the case's own reader."""
    if case.reader and formats.suffix(path) not in formats.SUFFIXES:
        return formats.read_with(case.reader, path)
    if case.plane is not None and (found := formats.planes(path)) != case.planes:
        raise BiosegError(
            f"{printable(path)}: has {found} planes, its image {printable(case.path.name)} {case.planes}; draw the mask on "
            "the image's own grid"
        )
    return formats.read(path, plane=case.plane)


def _foreground(path: Path, case: Case) -> Mask:
    raw_image = _read(path, case)
    values = raw_image.pixels
    floor = (raw_image.white or 0) / 2 if path.suffix.lower() in LOSSY else 0
    shown = values[..., :3] if raw_image.colour else values
    mask: Mask = (values if values.ndim == 2 else shown.max(axis=-1)) > floor
    return mask


def _on_grid(mask: Array, path: Path, case: Case, shape: tuple[int, int]) -> Array:
    if mask.shape[:2] == shape:
        return mask
    factor = shape[0] // mask.shape[0]
    if case.raw_format and (mask.shape[0] * factor, mask.shape[1] * factor) == shape:
        return mask.repeat(factor, axis=0).repeat(factor, axis=1)
    own, other = (f"{rows}×{cols}" for rows, cols in (mask.shape[:2], shape))
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
    if colours.shape[-1] < 3:
        return np.asarray(values.max(axis=-1))
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
