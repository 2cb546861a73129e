"""Which class a mask shows: from its folder, its name, or a table of values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.classes import bad_name
from bioseg.types import BiosegError, LabelValue, printable

TABLE, DATASET = "classes.csv", "dataset.json"
MOST = 32
"""More different names than this are names of images or objects, not of classes."""

_SIDE = re.compile(r"(?:left|right)(?: (?:lung|mask|side))?", re.I)
_COLOUR = re.compile(r"#?([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.I)
_SEPARATOR = re.compile(r"[_\-. ]+")


def from_places(folder: Path, masks: Mapping[Path, Sequence[Path]], words: Sequence[str]) -> dict[Path, str]:
    """The class of each mask, where folders or file names tell classes apart: ``masks/heart/a.png``, ``a_mask_heart.png``.

    Left and right alone are parts of one class, as the lungs of published sets are.

    Args:
        folder: Above all.
        masks: By the image they belong to.
        words: Words that say that something is a mask.

    Returns:
        A name for every mask, or nothing where they do not show several classes.
    """
    names = {mask: _name(mask, image, folder, words) for image, own in masks.items() for mask in own}
    images = Counter(name for own in masks.values() for name in {names[mask] for mask in own})
    known = set(images) - {""}
    shared = len(masks) == 1 or max((images[name] for name in known), default=0) > 1
    kinds, counts = {name.rstrip("0123456789") for name in known}, {len(own) for own in masks.values()}
    objects = len(kinds) == 1 and len(counts) > 1  # cell1, cell2 … up to as many as there are
    if not 2 <= len(known) <= MOST or not shared or objects or all(_SIDE.fullmatch(name) for name in known):
        return {}
    return names


def from_table(folder: Path) -> tuple[LabelValue, ...]:
    """What the values in label images stand for: ``classes.csv``, or the labels of nnU-Net's ``dataset.json``.

    ``classes.csv`` has the column ``name`` and either ``value`` or ``red``, ``green``, ``blue`` or ``colour`` (``#ff8800``). In a
    ``dataset.json``, a class made of several values is a region: classes may overlap then.

    Returns:
        Without the background; empty where there is no such table.

    Raises:
        BiosegError: There is one and it is wrong.
    """
    if (folder / TABLE).is_file():
        return _checked(_table_rows(folder / TABLE), folder / TABLE)
    if (folder / DATASET).is_file():
        content = files.read_json(folder / DATASET, "restore it, or take it away")
        labels = content.get("labels") if isinstance(content, dict) else None
        if isinstance(labels, dict):
            return _checked(_dataset_labels(labels, folder / DATASET), folder / DATASET)
    return ()


def names_of(values: Sequence[LabelValue]) -> tuple[str, ...]:
    """Every name once, in order."""
    return tuple(dict.fromkeys(one.name for one in values))


def _name(mask: Path, image: Path, folder: Path, words: Sequence[str]) -> str:
    """What folders and file name of a mask say beyond those of its image and that it is a mask."""
    above, own = image.relative_to(folder).parts[:-1], mask.relative_to(folder).parts[:-1]
    parts = [part for part in own if part not in above and part.casefold() != image.stem.casefold()]
    if mask.stem.casefold().startswith(image.stem.casefold()):
        parts.append(mask.stem[len(image.stem) :])
    left = [word for part in parts for word in _SEPARATOR.split(part) if _says_a_class(word, words)]
    return " ".join(left)


def _says_a_class(word: str, words: Sequence[str]) -> bool:
    ignored = {*words, "train", "training", "val", "valid", "validation", "test", "testing", "leftmask", "rightmask"}
    return bool(word) and not word.isdigit() and word.casefold() not in ignored


def _table_rows(path: Path) -> list[LabelValue]:
    rows = []
    for number, row in enumerate(files.read_csv(path), 2):
        where = f"{printable(path)}: line {number}"
        if "name" not in row:
            raise BiosegError(f"{printable(path)}: no column 'name'; give name and value, or name and colour")
        rows.append(LabelValue(row["name"].strip(), _value(row, where)))
    return rows


def _value(row: Mapping[str, str], where: str) -> int | tuple[int, int, int]:
    colour = _COLOUR.fullmatch(row.get("colour", row.get("color", "")).strip())
    try:
        if colour:
            red, green, blue = (int(part, 16) for part in colour.groups())
        elif "value" in row:
            return int(row["value"])
        else:
            red, green, blue = (int(row[part]) for part in ("red", "green", "blue"))
    except (KeyError, ValueError):
        raise BiosegError(
            f"{where}: {dict(row)} has neither a whole number as value nor a colour; give value, or red, green, blue"
        ) from None
    return red, green, blue


def _dataset_labels(labels: Mapping[str, Any], path: Path) -> list[LabelValue]:
    """Name → value, or → the values of a region, as today's nnU-Net writes; value → name, as its first version did."""
    found = []
    for key, value in labels.items():
        if isinstance(value, str) and key.isdigit():
            found.append(LabelValue(value, int(key)))
            continue
        for one in value if isinstance(value, list) else [value]:
            if type(one) is not int:
                raise BiosegError(
                    f"{printable(path)}: labels: {key!r}: {one!r}; give a whole number, or a list of them"
                )
            found.append(LabelValue(key, one))
    return found


def _checked(rows: Sequence[LabelValue], path: Path) -> tuple[LabelValue, ...]:
    """Without the background, value 0 or black."""
    classes = tuple(one for one in rows if one.value not in (0, (0, 0, 0)) and one.name.casefold() != "background")
    for one in classes:
        if fault := bad_name(one.name):
            raise BiosegError(f"{printable(path)}: class {one.name!r}: {fault}")
        numbers = one.value if isinstance(one.value, tuple) else (one.value,)
        if not all(0 <= number < (256 if len(numbers) == 3 else 2**31) for number in numbers):
            raise BiosegError(
                f"{printable(path)}: {one.name}: {one.value} is out of range; give 1 or more, colours to 255"
            )
    if len({isinstance(one.value, tuple) for one in classes}) > 1:
        raise BiosegError(f"{printable(path)}: names some classes by value and some by colour; use one of the two")
    if not classes:
        raise BiosegError(f"{printable(path)}: names no class but the background; add one, or take the table away")
    return classes
