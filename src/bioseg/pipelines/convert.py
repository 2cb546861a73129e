"""A data set written in another layout: as COCO, as folders of images and label images, or as nnU-Net wants it."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bioseg import files
from bioseg.datasets import annotations, folders
from bioseg.datasets import cases as reading
from bioseg.datasets.annotations import Annotation
from bioseg.datasets.annotations.annotation import of_labels, of_mask
from bioseg.datasets.patients import TABLE
from bioseg.images import formats, png
from bioseg.outputs.polygons import trace
from bioseg.pipelines import output_folder
from bioseg.pipelines.convert_nnunet import Nnunet
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Mask, Problem

NAMELESS = "object"
"""COCO wants a name for every class."""


@dataclass(frozen=True)
class Converted:
    """A case whose image is copied.

    Attributes:
        case: As it was.
        image: The copy.
        name: Of the copy below its folder of images, without suffix: the case's id.
        shape: (rows, cols).
        objects: Its ground truth.
    """

    case: Case
    image: Path
    name: str
    shape: tuple[int, int]
    objects: list[Annotation]


class Writer(Protocol):
    """Writes the cases of one part of a split."""

    def add(self, case: Case, /) -> None:
        """Write a case, or take it up until all are known."""
        ...

    def finish(self) -> None:
        """Write what all cases share."""
        ...


def convert(data: Path, out: Path, to: str, callbacks: Callbacks = SILENT) -> tuple[int, list[Problem]]:
    """Write the cases of ``data`` to ``out`` in the layout called ``to``; ids, patients and the folder's own split are kept.

    Args:
        data: Any folder of images and masks, see :func:`bioseg.datasets.folders.scan`.
        out: A new or an empty folder outside ``data``.
        to: A key of :data:`LAYOUTS`.
        callbacks: For progress.

    Returns:
        The number of cases written, and those that were left out.

    Raises:
        BiosegError: No such layout, no case with ground truth, or ``out`` may not be written.
    """
    if to not in LAYOUTS:
        raise BiosegError(f"--to {to}: no such layout; give {' or '.join(LAYOUTS)}")
    _refuse(data, out)
    scan = folders.scan(data)
    if not scan.cases:
        raise BiosegError(f"{data}: no image with a mask; `bioseg data check {data}` says what lies there")
    parts: dict[str, Sequence[Case]] = {"": scan.cases}
    if scan.split:
        parts = {"train": scan.split.train, "val": scan.split.validation, "test": scan.split.test}
    total, layout = sum(map(len, parts.values())), LAYOUTS[to](out)
    done, problems, count = list[Case](), list[Problem](), callbacks.counter("converting")
    for part, own in parts.items():
        writer = layout(part)
        for case in own:
            try:
                writer.add(case)
                done.append(case)
            except BiosegError as fault:
                problems.append(Problem(case.path, str(fault)))
            count(len(done) + len(problems), total)
        if own:
            writer.finish()
    if patients := [(case.id, case.patient) for case in done if case.patient]:
        files.write_csv(out / TABLE, ("id", "patient"), patients)
    return len(done), problems


def objects_of(case: Case, shape: tuple[int, int]) -> list[Annotation]:
    """What a case's ground truth shows: its parts if they have names, else the objects of :func:`cases.read_labels`.

    Raises:
        BiosegError: See :func:`bioseg.datasets.cases.each_part`.
    """
    parts = [of_mask(part.name, part.mask) for part in reading.each_part(case, shape)]
    return parts if any(one.name for one in parts) else of_labels(reading.read_labels(case, shape))


@dataclass
class Coco:
    """``images/`` and ``annotations/instances_PART.json``: polygons, or run lengths where an object has holes."""

    folder: Path
    path: Path
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)

    def add(self, case: Case) -> None:
        """Copy the image and take up its objects.

        Raises:
            BiosegError: The case cannot be read, or not be copied.
        """
        one = _copied(case, self.folder)
        number, (rows, cols) = len(self.images) + 1, one.shape
        name = f"{one.name}{one.image.suffix}"
        self.images.append({"id": number, "file_name": name, "height": rows, "width": cols})
        for drawn in one.objects:
            if drawn.crop.any():
                category = self.classes.setdefault(drawn.name or NAMELESS, len(self.classes) + 1)
                own = {"id": len(self.annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
                self.annotations.append(own | _segmentation(drawn))

    def finish(self) -> None:
        """Write the file.

        Raises:
            BiosegError: It could not be written.
        """
        categories = [{"id": number, "name": name} for name, number in self.classes.items()]
        whole = {"images": self.images, "annotations": self.annotations, "categories": categories}
        files.write(self.path, json.dumps(whole) + "\n")


@dataclass
class Folders:
    """``images/`` and ``masks/``: a label image for each image; where there are several classes, masks in a folder each."""

    images: Path
    masks: Path
    _found: list[Converted] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Copy the image and take up its objects.

        Raises:
            BiosegError: The case cannot be read, or not be copied.
        """
        self._found.append(_copied(case, self.images))

    def finish(self) -> None:
        """Write all masks, when all classes are known.

        Raises:
            BiosegError: One could not be written.
        """
        names = sorted({drawn.name for one in self._found for drawn in one.objects}) or [""]
        for one in self._found:
            if len(names) == 1:
                _write_labels(self.masks, one)
                continue
            for name in names if one.objects else names[:1]:
                own = [drawn for drawn in one.objects if drawn.name == name]
                folder = (name or NAMELESS).replace("/", " ").replace("\\", " ").strip(" .")
                if len(own) == 1 or not one.objects:
                    png.write_mask(self.masks / folder / f"{one.name}.png", annotations.united(own, one.shape))
                else:
                    _write_each(self.masks / one.name / folder, own)


@dataclass
class NnunetPart:
    """A part of :class:`bioseg.pipelines.convert_nnunet.Nnunet`."""

    whole: Nnunet
    test: bool

    def add(self, case: Case) -> None:
        """Write a case.

        Raises:
            BiosegError: It cannot be read, or not be written.
        """
        shape = reading.read_image(case).pixels.shape
        self.whole.add(case, objects_of(case, (shape[0], shape[1])), (shape[0], shape[1]), test=self.test)

    def finish(self) -> None:
        """Write ``dataset.json``.

        Raises:
            BiosegError: It could not be written.
        """
        self.whole.finish()


def _write_labels(folder: Path, one: Converted) -> None:
    """A label image; objects that overlap, or that it would not tell apart when it is read again, have a file each."""
    path, labels = folder / f"{one.name}.png", annotations.numbered(one.objects, one.shape)
    if len(one.objects) < 2:
        png.write_mask(path, labels > 0)
        return
    png.write_labels(path, labels)
    again = reading.read_labels(
        replace(one.case, masks=(path,), mask_classes=(), label_values=(), boxes=None), one.shape
    )
    overlap = sum(int(drawn.crop.sum()) for drawn in one.objects) > np.count_nonzero(labels)
    if overlap or not np.array_equal(again, labels):
        path.unlink()
        _write_each(folder / one.name, one.objects)


def _write_each(folder: Path, own: Sequence[Annotation]) -> None:
    for number, drawn in enumerate(own, 1):
        png.write_mask(folder / f"{number}.png", drawn.mask)


def _nnunet(out: Path) -> Callable[[str], Writer]:
    whole = Nnunet(out)
    return lambda part: NnunetPart(whole, test=part == "test")


LAYOUTS: dict[str, Callable[[Path], Callable[[str], Writer]]] = {
    "coco": lambda out: (
        lambda part: Coco(out / "images" / part, out / "annotations" / f"instances_{part or 'default'}.json")
    ),
    "folders": lambda out: lambda part: Folders(out / part / "images", out / part / "masks"),
    "nnunet": _nnunet,
}
"""By the word for each: (output folder) → (part of a split, empty for none) → what writes it."""


def _refuse(data: Path, out: Path) -> None:
    output_folder.refuse_inputs(out, data)
    if out.resolve().is_relative_to(data.resolve()):
        raise BiosegError(f"--out {out}: lies in {data}, where it would be taken for data; choose another folder")
    if out.is_dir() and any(out.iterdir()):
        raise BiosegError(f"--out {out}: is not empty; choose a new or an empty folder")


def _copied(case: Case, folder: Path) -> Converted:
    shape = reading.read_image(case).pixels.shape
    objects = objects_of(case, (shape[0], shape[1]))
    if not isinstance(case.image, Path):
        raise BiosegError(f"{case.id}: is no file; convert folders")
    if case.plane is not None:
        raise BiosegError(
            f"{case.path}: holds {case.planes} images; convert copies files of one, save its slices as such"
        )
    suffix = case.image.suffix
    known = suffix.lower() in formats.SUFFIXES or case.raw_format is not None
    copy = folder / f"{case.id}{suffix if known else '.dcm'}"
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(case.image, copy)
    except OSError as fault:
        raise BiosegError(f"{copy}: {files.explain(fault)}") from None
    return Converted(case, copy, case.id, (shape[0], shape[1]), objects)


def _segmentation(drawn: Annotation) -> dict[str, Any]:
    """Segmentation, area and box (x, y, width, height) of an object."""
    row, col = drawn.corner_rc
    rows, cols = drawn.crop.shape
    polygons = trace(drawn.crop.astype(np.int32))[1]
    facts = {"area": int(drawn.crop.sum()), "bbox": [col, row, cols, rows]}
    if any(len(rings) > 1 for rings in polygons):
        return facts | {"segmentation": {"size": list(drawn.shape), "counts": list(_runs(drawn.mask))}}
    return facts | {"segmentation": [(rings[0] + (col, row)).ravel().tolist() for rings in polygons]}


def _runs(mask: Mask) -> Iterator[int]:
    """Run lengths down the columns, background first."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    ends = [0, *changes, flat.size]
    yield from (end - start for start, end in pairwise(ends))
