"""A data set as nnU-Net wants it: ``imagesTr``, ``labelsTr`` (and ``Ts``) as TIFF, and ``dataset.json``."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from bioseg import files
from bioseg.classes import FOREGROUND, MOST
from bioseg.datasets import cases as reading
from bioseg.datasets import class_names
from bioseg.datasets.annotations import Annotation, united
from bioseg.datasets.kinds import OVERLAP
from bioseg.images.formats import RawImage
from bioseg.types import Array, BiosegError, Case, Mask, printable

ENDING = ".tif"


@dataclass
class Nnunet:
    """Writes cases one by one; a case is whole or not there.

    Attributes:
        out: Folder of the data set.
        names: Of the classes, in order of their values from 1.
        channels: Of the images; those of the first case hold for all.
        training: Cases written into ``imagesTr``.
    """

    out: Path
    names: list[str] = field(default_factory=list)
    channels: tuple[str, ...] = ()
    training: int = 0
    _taken: set[str] = field(default_factory=set)

    def add(self, case: Case, objects: list[Annotation], shape: tuple[int, int], *, test: bool) -> None:
        """Write a case.

        Raises:
            BiosegError: Its classes overlap, its channels are not those of the others, or it could not be written.
        """
        raw_image = reading.read_image(case)
        channels = raw_image.channels or (("red", "green", "blue") if raw_image.pixels.ndim == 3 else ("grey",))
        if self.channels and channels != self.channels:
            raise BiosegError(
                f"{printable(case.path)}: has channels {', '.join(channels)}, the others {', '.join(self.channels)}; convert "
                "images of one kind at a time"
            )
        labels = self._labels(case, objects, shape)
        part, name = "Ts" if test else "Tr", self._name(case.id)
        for index, pixels in enumerate(_planes(raw_image)):
            _write(self.out / f"images{part}" / f"{name}_{index:04d}{ENDING}", pixels, inverted=raw_image.inverted)
        _write(self.out / f"labels{part}" / f"{name}{ENDING}", labels)
        self.channels, self.training = channels, self.training + (not test)

    def finish(self) -> None:
        """Write ``dataset.json`` for all cases so far.

        Raises:
            BiosegError: It could not be written.
        """
        about: dict[str, Any] = {
            "channel_names": {str(index): name for index, name in enumerate(self.channels)},
            "labels": {"background": 0} | {name: value for value, name in enumerate(self.names or [FOREGROUND], 1)},
            "numTraining": self.training,
            "file_ending": ENDING,
        }
        files.write_json(self.out / class_names.DATASET, about)

    def _labels(self, case: Case, objects: list[Annotation], shape: tuple[int, int]) -> Array:
        """[rows, cols], the value of each pixel's class; classes get their values in the order in which they come."""
        masks: dict[str, Mask] = {}
        for name in dict.fromkeys(one.name or FOREGROUND for one in objects):
            masks[name] = united([one for one in objects if (one.name or FOREGROUND) == name], shape)
        total, whole = sum(int(mask.sum()) for mask in masks.values()), int(np.any([*masks.values()], axis=0).sum())
        if total - whole > OVERLAP * max(1, whole):
            raise BiosegError(
                f"{printable(case.path)}: classes overlap ({', '.join(masks)}), and a pixel of nnU-Net has one class; train on "
                "the folder itself, or divide them into parts that do not"
            )
        told = [name for name in class_names.names_of(case.label_values) if name not in self.names]
        self.names += dict.fromkeys([*told, *(name for name in masks if name not in [*self.names, *told])])
        if len(self.names) > MOST:
            raise BiosegError(f"{printable(case.path)}: more than {MOST} classes; nnU-Net's labels have 8 bits here")
        labels = np.zeros(shape, np.uint8)
        for name, mask in reversed(masks.items()):  # of the few pixels that two share, the first has them
            labels[mask] = self.names.index(name) + 1
        return labels

    def _name(self, case_id: str) -> str:
        """A case's identifier in nnU-Net's letters, unlike all others."""
        name = wanted = re.sub(r"[^\w.+-]+", "-", case_id)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._taken.add(name)
        return name


def _planes(raw_image: RawImage) -> list[Array]:
    """What is written for each channel file: an image in grey or colour as a whole, measured channels one by one."""
    pixels = raw_image.pixels
    if (raw_image.slope, raw_image.intercept) != (1.0, 0.0):
        pixels = (pixels * np.float32(raw_image.slope) + np.float32(raw_image.intercept)).astype(np.float32)
    if raw_image.channels:
        return list(np.moveaxis(pixels, -1, 0)) if pixels.ndim == 3 else [pixels]
    return [pixels[..., :3] if pixels.ndim == 3 else pixels]


def _write(path: Path, pixels: Array, *, inverted: bool = False) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "miniswhite" if inverted else "minisblack"
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, np.ascontiguousarray(pixels), photometric=photometric, compression="zlib", metadata=None)
    files.write(path, tiff.getvalue())
