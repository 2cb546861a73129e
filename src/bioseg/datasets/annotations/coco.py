"""COCO: one JSON file for many images, with polygons or run lengths.

Run lengths are decoded here, in a few lines of NumPy: the C code of pycocotools trusts their sums. A crowd is one annotation.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets.annotations import drawing, json_file, shared
from bioseg.datasets.annotations.annotation import Annotation, Unusable, check_size, class_name, of_mask
from bioseg.types import Mask, printable


@dataclass(frozen=True)
class Listed:
    """An image of the file.

    Attributes:
        file_name: As the file has it, with ``/``.
        size: (rows, cols), or what stands there instead.
        objects: Its annotations, as the file has them, not checked.
    """

    file_name: str
    size: tuple[Any, Any]
    objects: list[dict[str, Any]]


@dataclass(frozen=True)
class Index:
    """What a file holds: its images by the name of the file without folders, and the names of classes by their id."""

    images: dict[str, list[Listed]]
    classes: dict[Any, str]

    def find(self, image: Path) -> Listed | None:
        """The image of that file name; where several have it, the one whose folders agree with the path."""
        names = image.as_posix().split("/")
        listed = self.images.get(image.name, [])
        agreeing = sorted(listed, key=lambda one: common_end(one.file_name.split("/"), names), reverse=True)
        return agreeing[0] if agreeing else None


def index(path: Path) -> Index:
    """The file's images and classes; read once.

    Raises:
        Unusable: The file is damaged or of another kind.
    """
    return shared.understood(path, _index)


def images_of(path: Path) -> frozenset[str]:
    """Names of the image files that a file lists; empty where it cannot be read, which reading it will report."""
    try:
        return frozenset(one.file_name for listed in index(path).images.values() for one in listed)
    except (Unusable, OSError):
        return frozenset()


def read(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The annotations of ``image`` in their order; it is known by its file name.

    Raises:
        Unusable: The file is damaged, does not list the image or has it in another size, or an annotation of it is wrong.
    """
    known = index(path)
    listed = known.find(image)
    if not listed:
        raise Unusable(
            f"{printable(image.name)} is none of its {len(known.images)} images; add it, or leave the image out"
        )
    if None not in listed.size:
        check_size(listed.size, shape)
    found = []
    for one in listed.objects:
        try:
            found.append(_drawn(one, known.classes, shape))
        except Unusable as fault:
            raise Unusable(f"annotation {json_file.shown(one.get('id'))}: {fault}") from None
    return found


def _index(path: Path) -> Index:
    whole = json_file.read(path)
    objects: dict[Any, list[dict[str, Any]]] = {}
    for one in json_file.field(whole, "annotations", list):
        if isinstance(one, dict) and isinstance(number := one.get("image_id"), int | str):
            kept = {key: one.get(key) for key in ("id", "category_id", "segmentation")}
            objects.setdefault(number, []).append(kept)
    images: dict[str, list[Listed]] = {}
    for one in json_file.field(whole, "images", list):
        if isinstance(one, dict) and isinstance(name := one.get("file_name"), str):
            number, size = one.get("id"), (json_file.whole(one.get("height")), json_file.whole(one.get("width")))
            own = objects.get(number, []) if isinstance(number, int | str) else []
            clean = name.replace("\\", "/")
            images.setdefault(PurePosixPath(clean).name, []).append(Listed(clean, size, own))
    if not images:
        raise Unusable("COCO file without an image that has a file_name; export it again")
    categories = whole.get("categories")
    classes = {
        one["id"]: class_name(one.get("name"))
        for one in (categories if isinstance(categories, list) else ())
        if isinstance(one, dict) and isinstance(one.get("id"), int | str)
    }
    return Index(images, classes)


def common_end(one: list[str], other: list[str]) -> int:
    """How many names at the end are the same."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _drawn(one: dict[str, Any], classes: dict[Any, str], shape: tuple[int, int]) -> Annotation:
    category, segmentation = one["category_id"], one["segmentation"]
    if classes and (not isinstance(category, int | str) or category not in classes):
        raise Unusable(f"category_id {json_file.shown(category)} is none of its categories; add it there")
    name = classes.get(category, "")
    if isinstance(segmentation, dict):
        return of_mask(name, decode(segmentation, shape))
    if not isinstance(segmentation, list) or not segmentation:
        raise Unusable("has no segmentation, only a box or key points; draw its contour, or remove it")
    return drawing.polygons(name, [[drawing.points(_pairs(flat))] for flat in segmentation], shape)


def _pairs(flat: Any) -> Any:
    """``[x1, y1, x2, y2, …]`` → pairs; what is not that is left to the check of points."""
    if not isinstance(flat, list) or len(flat) % 2 or any(not isinstance(one, int | float) for one in flat):
        raise Unusable("polygon that is no list of x and y in turn; draw it again")
    return [flat[at : at + 2] for at in range(0, len(flat), 2)]


def decode(rle: dict[str, Any], shape: tuple[int, int]) -> Mask:
    """A mask from run lengths down the columns: background and foreground in turn.

    Args:
        rle: ``size`` (rows, cols) and ``counts``, a list of numbers or COCO's compressed text.
        shape: (rows, cols) of the image.

    Raises:
        Unusable: They are damaged, or of another size.
    """
    size = json_file.field(rle, "size", list)
    if len(size) != 2:
        raise Unusable(f"run lengths of size {json_file.shown(str(size))}; it needs rows and columns: export it again")
    check_size((size[0], size[1]), shape)
    counts = rle.get("counts")
    runs = _expanded(counts) if isinstance(counts, str) else _whole_numbers(counts)
    total = float(runs.sum(dtype=np.float64))
    if (runs < 0).any() or total != shape[0] * shape[1]:
        raise Unusable(f"run lengths of {total:,.0f} pixels, its image has {shape[0] * shape[1]:,}; export it again")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape[::-1]).T


def _whole_numbers(counts: Any) -> NDArray[np.int64]:
    if not isinstance(counts, list) or not all(isinstance(one, int) and abs(one) < 1 << 40 for one in counts):
        raise Unusable("run lengths that are no whole numbers; export it again")
    return np.array(counts, np.int64)


def _expanded(text: str) -> NDArray[np.int64]:
    """COCO's compressed run lengths.

    Letters from ``0`` (48) hold six bits each: five of a number, the lowest first, and whether more follow; the last of a number
    is its sign. From the fourth run on, the number is the difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise Unusable("run lengths that are not COCO's compressed text; export it again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    if shift:
        raise Unusable("run lengths cut short; export it again")
    if any(abs(run) > 1 << 40 for run in runs):
        raise Unusable("run lengths larger than any image; export it again")
    return np.array(runs, np.int64)
