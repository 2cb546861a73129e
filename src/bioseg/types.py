"""The plain values everything else is built from: arrays with a fixed axis order, cases, and errors for people."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Any array of pixels as a file holds it: [rows, cols] or [rows, cols, channels]."""

ImageArray = NDArray[np.float32]
"""Intensities [rows, cols] or, in colour, [rows, cols, channels]; [0, 1] once prepared."""

Mask = NDArray[np.bool_]
"""[rows, cols], True in the foreground."""

Labels = NDArray[np.int32]
"""[rows, cols], 0 is background; 1, 2, … one number per object."""

Probability = NDArray[np.float32]
"""[rows, cols], the probability in [0, 1] that a pixel is foreground."""


Reader = Callable[[Path | bytes], Any]
"""A user's own: (file, or the content of one) → pixels [rows, cols] or [rows, cols, channels], or a ``RawImage``."""


class BiosegError(Exception):
    """A fault a person can mend. The message is one line that names the thing, its value and the remedy."""


def printable(path: object) -> str:
    """A path as text for one line of a message: control characters and bytes that are not UTF-8 become �."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(path))


@dataclass(frozen=True)
class Problem:
    """One input of many that was left out, and why.

    Attributes:
        path: The file or folder.
        reason: One line for a person.
    """

    path: Path
    reason: str


Progress = Callable[[int, int], None]
"""Hears of one piece of work: (done, total)."""


def _both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def both(*values: Any) -> None:
        first(*values)
        second(*values)

    return both


@dataclass(frozen=True)
class Callbacks:
    """Functions that long work calls to report how far it is; the defaults ignore what they are told.

    Attributes:
        progress: (name of the work, done, total, note).
        log: (a line a person should read).
        epoch: (name of the training, the epoch's row of the journal).
        started: (the record of the run), before it is trained.
        finished: (the summary of the validation set), after everything is written.
    """

    progress: Callable[[str, int, int, str], None] = lambda name, done, total, note: None
    log: Callable[[str], None] = lambda line: None
    epoch: Callable[[str, dict[str, Any]], None] = lambda name, row: None
    started: Callable[[dict[str, Any]], None] = lambda record: None
    finished: Callable[[dict[str, Any]], None] = lambda summary: None

    def __add__(self, other: "Callbacks") -> "Callbacks":
        """Both, one after the other."""
        names = [one.name for one in fields(self)]
        return Callbacks(**{name: _both(getattr(self, name), getattr(other, name)) for name in names})

    def counter(self, name: str, note: str = "") -> Progress:
        """``progress`` of one piece of work as a function of (done, total)."""
        return lambda done, total: self.progress(name, done, total, note)


SILENT = Callbacks()


@dataclass(frozen=True)
class QualityEstimate:
    """How far to trust a prediction.

    Attributes:
        score: [0, 1]; about the Dice to expect.
        reasons: In plain words, the weightiest first, why a person should review it; empty where nothing is wrong.
    """

    score: float
    reasons: tuple[str, ...] = ()

    @property
    def flagged(self) -> bool:
        """Whether a person should review it."""
        return bool(self.reasons)


@dataclass(frozen=True)
class RawFormat:
    """What a headerless file does not say of itself.

    Attributes:
        shape: (rows, cols).
        dtype: A numpy type string with byte order, such as ``">u2"``.
        white: The largest value a pixel can have.
        inverted: True where small values are bright (film polarity).
    """

    shape: tuple[int, int]
    dtype: str
    white: int
    inverted: bool = False


@dataclass(frozen=True)
class Box:
    """An upright rectangle in an image, as in the RSNA files: x to the right, y down, from the top left corner.

    Attributes:
        x: Left edge, px.
        y: Top edge, px.
        width: px.
        height: px.
        confidence: [0, 1]; 1 for a box drawn by a person.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float = 1.0


def plane_name(plane: int) -> str:
    """What a plane, counted from 0, is called: its number from 1, in an order that sorts."""
    return f"{plane + 1:04d}"


@dataclass(frozen=True)
class LabelValue:
    """What a value in label images stands for.

    Attributes:
        name: Of the class.
        value: A whole number above 0, or a colour (red, green, blue) from 0 to 255.
    """

    name: str
    value: int | tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a ground truth, such as one lung or one nucleus.

    Attributes:
        name: Its class; empty where the data do not say.
        mask: [rows, cols] of the image.
    """

    name: str
    mask: Mask


@dataclass(frozen=True)
class Case:
    """One image with its masks and patient.

    Attributes:
        id: Unique in its data set; names the case in splits, tables and reports.
        patient: Cases of one patient are never divided by a split; empty: unknown, so that the image counts as its own
            patient, see :attr:`group`.
        image: The image's file, or the content of one.
        masks: Mask files. Several are parts of one ground truth (left and right lung, or one nucleus each): their union
            is the foreground and each file is an instance. A ``.txt`` file is a contour, one ``x y`` per line in px; an
            annotation file of another program, see :mod:`bioseg.datasets.annotations`, may hold many objects, and those
            of other images.
            Empty where there is no ground truth, or where ``boxes`` are the ground truth.
        mask_classes: The class that each of ``masks`` shows; empty: the files say, or there is one class only.
        label_values: What the values in mask files stand for, where a table says so; masks are label images then.
        boxes: Boxes as ground truth (an empty tuple: known to have none); None where boxes are not the ground truth.
        spacing_mm: Distance between pixel centres (rows, cols) where the layout knows it; a file's own header comes
            first.
        source: Data set or hospital it comes from.
        raw_format: How to read a headerless image; None for files that describe themselves.
        reader: Reads the image, and masks in files of other kinds than bioseg's own; None: bioseg reads them.
        level: Of an image that is a pyramid, 0 for the largest; masks lie on its grid.
        folder: Where its outputs go in an output folder, such as ``PAT/STUDY``; empty: into that itself.
        plane: Which image of a file that holds several (frames, slices, pages), from 0; its masks are files of as many.
            None: the file holds one.
        planes: How many images the file holds.
    """

    id: str
    patient: str
    image: Path | bytes
    masks: tuple[Path, ...] = ()
    mask_classes: tuple[str, ...] = ()
    label_values: tuple[LabelValue, ...] = ()
    boxes: tuple[Box, ...] | None = None
    spacing_mm: tuple[float, float] | None = None
    source: str = ""
    raw_format: RawFormat | None = None
    reader: Reader | None = field(default=None, repr=False)
    level: int = 0
    folder: str = ""
    plane: int | None = None
    planes: int = 1

    @property
    def has_truth(self) -> bool:
        """Whether masks or boxes come with the image."""
        return bool(self.masks) or self.boxes is not None

    @property
    def group(self) -> str:
        """What a split keeps together: the patient or, where it is unknown, the case itself or all planes of its file."""
        if self.patient or self.plane is None:
            return self.patient or f"unknown:{self.id}"
        return f"unknown:{self.id.removesuffix(f'-{plane_name(self.plane)}')}"

    @property
    def path(self) -> Path:
        """The image's file; for an image given as bytes, its id as a path, for messages."""
        return self.image if isinstance(self.image, Path) else Path(self.id)

    @property
    def place(self) -> Path:
        """Its file; of a file with several planes the plane, as if the file were a folder: ``scan.nii.gz/0012``."""
        return self.path if self.plane is None else self.path / plane_name(self.plane)
