"""The raw data sets of nnU-Net: ``imagesTr/X_0000.png`` with ``labelsTr/X.png``, described by ``dataset.json``."""

import re
from pathlib import Path

from bioseg import files
from bioseg.datasets import class_names
from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.types import BiosegError, Case

TRAINING, TEST = ("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")
_CHANNEL = re.compile(r"(?P<name>.+)_(?P<channel>\d{4})")


def list_cases(folder: Path) -> list[Case]:
    """The training cases, and the test cases with or without labels.

    The values in the labels are named by ``dataset.json``, in its present form and that of nnU-Net's first version; a class made
    of several values is a region, which overlaps others.

    Raises:
        OtherLayoutError: No ``dataset.json`` with ``imagesTr`` lies in ``folder``.
        BiosegError: ``dataset.json`` is damaged, or an image is divided into a file per channel.
    """
    table = folder / class_names.DATASET
    if not (table.is_file() and (folder / TRAINING[0]).is_dir()):
        raise OtherLayoutError(f"{folder}: no dataset.json with imagesTr here; give the folder of one raw data set")
    content = files.read_json(table, "restore it")
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise BiosegError(f"{table}: has no labels; give them as nnU-Net wants them, name and value")
    values, ending = class_names.from_table(folder), str(content.get("file_ending", ""))
    cases = []
    for part, (images, labels) in zip(("training", "test"), (TRAINING, TEST), strict=True):
        for image in sorted((folder / images).glob(f"*{ending}")) if (folder / images).is_dir() else ():
            name = _name(image, ending)
            masks = [one for one in sorted((folder / labels).glob(f"{_literal(name)}.*")) if one.is_file()]
            own = tuple(masks[:1])
            cases.append(Case(name, "", image, own, label_values=values if own else (), source=part))
    return cases


def _name(image: Path, ending: str) -> str:
    stem = image.name.removesuffix(ending) if ending else image.name.partition(".")[0]
    match = _CHANNEL.fullmatch(stem)
    if match and match["channel"] != "0000":
        raise BiosegError(
            f"{image}: one file for each channel; save the channels of {match['name']} as one TIFF and train on these"
        )
    return match["name"] if match else stem


def _literal(name: str) -> str:
    """``name`` as a pattern that matches itself alone."""
    return re.sub(r"([*?\[])", r"[\1]", name)
