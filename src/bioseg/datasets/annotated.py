"""Which annotation file belongs to which image: by its name, by the names it lists, or by the SOP Instance UIDs it refers to."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from bioseg.datasets import annotations
from bioseg.datasets.annotations import dicom
from bioseg.datasets.annotations.coco import common_end
from bioseg.images import formats

_MARK = re.compile(
    r"(?P<name>.+?)[_\-. ](?:rois?|roiset|annotations?|labels?|masks?|cp_masks|seg|gt|contours?|polygons?)", re.I
)
_PART = re.compile(r"(?:^|[_\-. ])(train|val|test)", re.I)
_DOCUMENTS = frozenset({".md", ".pdf", ".html", ".py", ".rst"})
_OWN_TABLES = frozenset({"patients.csv", "classes.csv", "split.csv", "dataset.json"})
_SPEAKS_OF_THE_SET = re.compile(r"(?:readme|licen[cs]e|copying|citation|changelog)\b.*", re.I)
_CONTOUR_LINE = re.compile(r"\s*[-+]?\d[\d.eE+-]*\s+[-+]?\d[\d.eE+-]*\s*")
_BEGINNING = 4096


def image_name(path: Path) -> str:
    """What the image of an annotation file may be called: ``x_rois.zip``, ``x.tif.geojson`` → ``x``."""
    stem = path.stem
    if Path(stem).suffix.lower() in formats.SUFFIXES:
        stem = Path(stem).stem
    found = _MARK.fullmatch(stem)
    return found["name"] if found else stem


def is_contour(path: Path) -> bool:
    """Whether a ``.txt`` file begins with lines of two numbers."""
    if path.suffix.lower() != ".txt":
        return False
    try:
        with path.open("rb") as file:
            lines = file.read(_BEGINNING).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    full = [line for line in lines if line.strip()]
    return len(full) >= 3 and all(_CONTOUR_LINE.fullmatch(line) for line in full[:3])


def speaks_of_the_set(path: Path) -> bool:
    """Whether a file is a document or one of our own tables, which nobody takes for an annotation."""
    own = path.name.lower() in _OWN_TABLES or path.suffix.lower() in _DOCUMENTS
    return own or bool(_SPEAKS_OF_THE_SET.fullmatch(path.name))


def of_many(files: Sequence[Path], images: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """(image, annotation file) for every image that a file of many images speaks of.

    Args:
        files: COCO files and DICOM objects.
        images: Among which theirs are.
    """
    by_name: dict[str, list[Path]] = {}
    for one in images:
        by_name.setdefault(one.name, []).append(one)
    by_uid: dict[str, Path] | None = None
    for path in files:
        how = annotations.format_of(path)
        if not how or not how.images:
            continue
        if how is annotations.COCO:
            called = (_called(name, path, by_name) for name in sorted(how.images(path)))
            yield from ((image, path) for image in called if image)
            continue
        by_uid = _by_uid(images) if by_uid is None else by_uid
        yield from ((by_uid[uid], path) for uid in sorted(how.images(path)) if uid in by_uid)


def one_form(masks: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The mask files of an image that are used, and those that say the same in another form.

    Files of one form are parts of one ground truth. Of several forms, masks as images come first.
    """
    forms: dict[int, list[Path]] = {}
    for path in masks:
        how = annotations.format_of(path)
        forms.setdefault(annotations.FORMATS.index(how) if how else -2 + is_contour(path), []).append(path)
    used = sorted(forms.pop(min(forms)))
    if annotations.format_of(used[0]) is annotations.COCO:  # several list the image: instances, key points …
        used.sort(key=lambda path: "instances" not in path.name)
        forms[len(annotations.FORMATS)] = used[1:]
        used = used[:1]
    return used, sorted(path for others in forms.values() for path in others)


def _called(name: str, path: Path, by_name: dict[str, list[Path]]) -> Path | None:
    """The image that a COCO file calls ``name``: the one whose folders agree best, then that of the file's own part."""
    own = by_name.get(PurePosixPath(name).name, [])
    if len(own) > 1:
        agree = [common_end(name.split("/"), image.as_posix().split("/")) for image in own]
        own = [image for image, number in zip(own, agree, strict=True) if number == max(agree)]
    if len(own) > 1:
        below = [image for image in own if image.is_relative_to(path.parent)]
        parts = {part.lower() for part in _PART.findall(path.stem)}
        named = [image for image in own if parts & {part.lower() for part in _PART.findall(image.parent.name)}]
        own = named or below
    return own[0] if len(own) == 1 else None


def _by_uid(images: Sequence[Path]) -> dict[str, Path]:
    candidates = [image for image in images if image.suffix.lower() not in formats.SUFFIXES - {".dcm"}]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        headers = pool.map(dicom.header_of, candidates)
        return {
            str(header.get("SOPInstanceUID")): image
            for image, header in zip(candidates, headers, strict=True)
            if header is not None and "SOPInstanceUID" in header
        }
