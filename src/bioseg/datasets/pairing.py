"""Images and their masks in any folder, paired by name.

What is called a mask (by its folder or its suffix) belongs to the image of the same name.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bioseg.datasets import annotated, annotations, class_names
from bioseg.datasets.layouts import jsrt
from bioseg.datasets.tree import escaped
from bioseg.images import formats
from bioseg.types import Array, BiosegError, Case

WORDS = (
    "mask", "masks", "label", "labels", "seg", "segs", "segmentation", "segmentations", "annotation", "annotations", "gt",
    "ground_truth", "groundtruth", "truth", "manualmask", "target", "targets", "cp_masks",
)  # fmt: skip
PARTS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""The part of a split that a folder of this name is."""

_MASK_FOLDER = re.compile(
    rf"(?:.*[_\- .0-9])?(?:{'|'.join(WORDS)})(?:[_\- .0-9].*)?|(?:left|right)[_ ]?(?:mask|lung)|labelsT[rs]", re.I
)
_MASK_SUFFIX = re.compile(rf"(?P<name>.+?)[_\-. ](?:{'|'.join(WORDS)})(?:[_\-. ]?(?P<part>\d+|left|right))?", re.I)
_CLASS_SUFFIX = re.compile(rf"(?P<name>.+?)[_\-. ](?:{'|'.join(WORDS)})[_\-. ].+", re.I)
_IMAGE_FOLDER = re.compile(
    r"(?:.*[_\- .0-9])?(?:images?(?:T[rs])?|imgs?|photos?|scans?|originals?|(?:cxr_)?png|inputs?)", re.I
)
_IMAGE_SUFFIX = re.compile(r"(?P<name>.+?)[_\-. ](?:image|img|orig|original)", re.I)
_NNUNET_FOLDER = re.compile(r"images(?:T[rs])")
_NNUNET_PARTS = {"imagestr": "train", "labelstr": "train", "imagests": "test", "labelsts": "test"}
_NUMBERED = re.compile(r"(?P<prefix>\D*?)(?P<number>\d+)")
_NUMBERED_MASK = re.compile(rf"(?:{'|'.join(WORDS)})[_\-. ]?\d+", re.I)
_EVERYTHING = 0.95


@dataclass(frozen=True)
class Pairs:
    """What was found.

    Attributes:
        cases: Images with masks, sorted by id; their patients are unknown.
        without_mask: Images that found none.
        without_image: Masks that found none.
        ambiguous: PNG files beside an image of the same name that do not look like its mask; none is used as one.
        unused: Ground truth that an image has in another form, too.
        others: Files that are neither images nor annotations of a known format.
    """

    cases: tuple[Case, ...]
    without_mask: tuple[Path, ...]
    without_image: tuple[Path, ...]
    ambiguous: tuple[Path, ...]
    unused: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()


def pair(folder: Path, files: Sequence[Path]) -> Pairs:
    """Pair the images and masks among ``files``, which lie somewhere below ``folder``.

    Names and places decide. Only a PNG beside an image of another format and the same name, which may be its mask or a
    preview of it, is opened.
    """
    found = _sorted_out(folder, files)
    at: dict[tuple[str, str], list[Path]] = {}
    for image in found.images:
        at.setdefault((_place(image, folder), _image_name(image)), []).append(image)
    masks: dict[Path, list[Path]] = {}
    lonely = []
    for name, mask in found.masks:
        wanted = _candidates(at, _place(mask, folder), name)
        if len(wanted) == 1:
            masks.setdefault(wanted[0], []).append(mask)
        else:
            lonely.append(mask)
    for image, mask in annotated.of_many(found.of_many, found.images):
        masks.setdefault(image, []).append(mask)
    lonely += sorted(set(found.of_many) - {mask for own in masks.values() for mask in own})
    forms = {image: annotated.one_form(own) for image, own in masks.items()}
    names = _ids(folder, list(masks))
    plain = {image: [mask for mask in own if not annotations.format_of(mask)] for image, (own, _) in forms.items()}
    classes, values = class_names.from_places(folder, plain, WORDS), class_names.from_table(folder)
    cases = [
        replace(
            case_of(image, names[image], tuple(own), folder.name),
            mask_classes=tuple(classes.get(mask, "") for mask in own) if classes else (),
            label_values=() if classes else values,
        )
        for image, (own, _) in forms.items()
    ]
    return Pairs(
        tuple(sorted(cases, key=lambda case: case.id)),
        tuple(image for image in found.images if image not in masks),
        tuple(lonely),
        tuple(found.ambiguous),
        tuple(sorted({path for _, others in forms.values() for path in others})),
        tuple(found.others),
    )


def case_of(image: Path, name: str = "", masks: tuple[Path, ...] = (), source: str = "") -> Case:
    """A case of one image file, with what is known of formats without a header."""
    film = jsrt.is_film(image)
    return Case(
        id=name or escaped(formats.stem(image)),
        patient="",
        image=image,
        masks=masks,
        spacing_mm=jsrt.SPACING_MM if film else None,
        source=source,
        raw_format=jsrt.RAW if film else None,
    )


def part_of(path: Path, folder: Path) -> str:
    """The part of a split (``train``, ``validation``, ``test``) that a file lies in; empty: in none."""
    return next(filter(None, (_part(name) for name in path.relative_to(folder).parts[:-1])), "")


def looks_like_mask(pixels: Array) -> bool:
    """Whether pixels [rows, cols(, channels)] are of a mask or of labels and not of a preview of the image.

    A mask has two values, or is flat nearly everywhere (labels, smoothed edges); and it does not cover nearly everything.
    """
    values = pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=-1)
    if np.mean(values > 0) > _EVERYTHING:
        return False
    if len(np.unique(values)) <= 2:
        return True
    if pixels.ndim == 3 and (pixels[..., :1] != pixels[..., :3]).any() and len(np.unique(values)) > 64:
        return False
    flat = (values[1:, 1:] == values[:-1, 1:]) & (values[1:, 1:] == values[1:, :-1])
    # A preview may have a black background; a mask is flat where it is not black, too.
    bright = values[1:, 1:] > 0
    return bool(flat.mean() > 0.8 and bright.any() and flat[bright].mean() > 0.6)


@dataclass
class _Found:
    """Files, sorted into images and masks by their names."""

    images: list[Path] = field(default_factory=list)
    masks: list[tuple[str, Path]] = field(default_factory=list)
    ambiguous: list[Path] = field(default_factory=list)
    of_many: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def _sorted_out(folder: Path, files: Sequence[Path]) -> _Found:
    found = _Found()
    stems: dict[tuple[Path, str], list[Path]] = {}
    there = {(path.parent, formats.stem(path)) for path in files}
    images = (path for path in files if formats.suffix(path) in formats.SUFFIXES)
    numbered = {(path.parent, _number(path)) for path in images if not _NUMBERED_MASK.fullmatch(formats.stem(path))}
    for path in files:
        if how := annotations.format_of(path):
            if how.images:
                found.of_many.append(path)
            else:
                found.masks.append((annotated.image_name(path), path))
            continue
        if not (formats.is_image(path) or jsrt.is_film(path)):
            if annotated.is_contour(path):
                found.masks.append((annotated.image_name(path), path))
            elif not annotated.speaks_of_the_set(path):
                found.others.append(path)
            continue
        stem = formats.stem(path)
        suffix = _MASK_SUFFIX.fullmatch(stem)
        if not suffix and (named := _CLASS_SUFFIX.fullmatch(stem)) and (path.parent, named["name"]) in there:
            suffix = named  # a_mask_heart.png beside a.png
        beside = _NUMBERED_MASK.fullmatch(stem) and (path.parent, _number(path)) in numbered
        if suffix:
            found.masks.append((suffix["name"], path))
        elif beside or any(_MASK_FOLDER.fullmatch(part) for part in path.relative_to(folder).parts[:-1]):
            found.masks.append((stem, path))
        else:
            stems.setdefault((path.parent, stem), []).append(path)
    twins = {png: stem for (_, stem), paths in stems.items() if (png := _twin(paths))}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        is_mask = dict(zip(twins, pool.map(_is_mask_file, twins), strict=True))
    for paths in stems.values():
        for path in paths:
            if is_mask.get(path):
                found.masks.append((twins[path], path))
            else:
                found.images.append(path)
    found.ambiguous = [path for path, masked in is_mask.items() if not masked]
    return found


def _twin(paths: Sequence[Path]) -> Path | None:
    """The PNG of two files of one name: X.dcm (or .jpg, .tif) beside X.png, since masks are what people export so."""
    png = [path for path in paths if path.suffix.lower() == ".png"]
    return png[0] if len(paths) == 2 and len(png) == 1 else None


def _is_mask_file(path: Path) -> bool:
    try:
        return looks_like_mask(formats.read(path).pixels)
    except BiosegError:
        return True  # whatever it is, it is named when it is read


def _number(path: Path) -> int | None:
    """The number at the end of ``img_012``; None where there is none, or another one before it."""
    match = _NUMBERED.fullmatch(formats.stem(path))
    return int(match["number"]) if match else None


def _image_name(image: Path) -> str:
    stem = formats.stem(image)
    if _NNUNET_FOLDER.fullmatch(image.parent.name):
        return stem.removesuffix("_0000")  # the first of its channels
    match = _IMAGE_SUFFIX.fullmatch(stem)
    return match["name"] if match else stem


def _place(path: Path, folder: Path) -> str:
    """The folders of a file without what only says image or mask: ``train/masks/a.png``, ``train_masks/a.png`` → ``train``."""
    names = path.relative_to(folder).parts[:-1]
    return "/".join(filter(None, (_part(name) if _only_says_what(name) else name for name in names)))


def _part(name: str) -> str:
    """The part of a split that a folder's name says: ``train``, ``val_images``; empty: none."""
    if part := _NNUNET_PARTS.get(name.lower()):
        return part
    words = re.split(r"[_\- .]", name.lower()) if _only_says_what(name) else [name.lower()]
    return next((PARTS[word] for word in words if word in PARTS), "")


def _only_says_what(name: str) -> bool:
    return bool(_MASK_FOLDER.fullmatch(name) or _IMAGE_FOLDER.fullmatch(name))


def _candidates(at: dict[tuple[str, str], list[Path]], place: str, name: str) -> list[Path]:
    """Images a mask may belong to.

    Of its name (or that without a number) in its place or in one above; named as the folder it lies in; of another name, but of
    its number, in its place; alone in its place.
    """
    parts = place.split("/") if place else []
    for depth in range(len(parts), -1, -1):
        above = "/".join(parts[:depth])
        bare = re.sub(r"[_\-. ]?\d+$", "", name) if depth == len(parts) else name
        for wanted in (name, bare, *parts[depth : depth + 1]):
            if there := at.get((above, wanted)):
                return there
    for cut in reversed([match.start() for match in re.finditer(r"[_\-. ]", name)]):  # a_heart.png in masks/, of a.png
        if there := next((at[above, name[:cut]] for above in (place, "") if (above, name[:cut]) in at), None):
            return there
    here = [image for (where, _), images in at.items() if where == place for image in images]
    if (number := _number(Path(f"{name}.x"))) is not None:
        same = [image for image in here if _number(image) == number]
        if len(same) == 1:
            return same
    return here if place and len(here) == 1 else []  # one image in a folder of its own owns all masks there


def _ids(folder: Path, images: Sequence[Path]) -> dict[Path, str]:
    """The shortest of stem, place and stem, and path that tells all images apart."""
    ways = (
        [formats.stem(image) for image in images],
        [f"{_place(image, folder)}/{formats.stem(image)}".lstrip("/") for image in images],
        [image.relative_to(folder).with_name(formats.stem(image)).as_posix() for image in images],
        [image.relative_to(folder).as_posix() for image in images],
    )
    for way in ways:
        readable = [escaped(name) for name in way]
        if len(set(readable)) == len(images):
            return dict(zip(images, readable, strict=True))
    return {
        image: f"{escaped(name)} ({number})"
        for number, (image, name) in enumerate(zip(images, ways[-1], strict=True), 1)
    }
