"""Words everything else is built from: arrays with fixed axis order, cases, calls and errors for people."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Any array of pixels as a file holds it: [rows, cols] or [rows, cols, channels]."""

Picture = NDArray[np.float32]
"""Intensities [rows, cols] or, in colour, [rows, cols, channels]; [0, 1] once prepared."""

Mask = NDArray[np.bool_]
"""[rows, cols], True inside."""

Labels = NDArray[np.int32]
"""[rows, cols], 0 outside, 1, 2, … one number an object."""

Probability = NDArray[np.float32]
"""[rows, cols], the chance in [0, 1] that a pixel is inside."""


class BiosegError(Exception):
    """A fault a person can mend. The message is one line that names the thing, its value and the remedy."""


@dataclass(frozen=True)
class Problem:
    """One input of many that was left out, and why.

    Attributes:
        path: The file or folder.
        reason: One line for a person.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Judgement:
    """How far to trust a prediction.

    Attributes:
        score: [0, 1]; about the Dice to expect.
        reasons: In plain words, the weightiest first, why a person should look at it; empty where nothing is wrong.
    """

    score: float
    reasons: tuple[str, ...] = ()

    @property
    def flagged(self) -> bool:
        """Whether a person should look at it."""
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
    """An upright rectangle in a picture, in the manner of the RSNA files: x right, y down, from the top left corner.

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


@dataclass(frozen=True)
class Case:
    """One picture with its mask(s) and patient.

    Attributes:
        id: Unique in its set; names the case in splits, tables and reports.
        patient: Cases of one patient never straddle a split.
        picture: The picture's file.
        masks: Mask files. Several are parts of one truth (left and right lung, one nucleus each): their union is the
            foreground and each file is an instance. A ``.txt`` file is a contour, one ``x y`` a line in px.
            Empty where there is no truth, or where ``boxes`` are the truth.
        boxes: Boxes as truth (an empty tuple: known to have none); None where boxes are not the truth.
        spacing_mm: Distance between pixel centres (down rows, along cols) where the layout knows it; a file's own
            header is asked first.
        source: Which set or hospital it comes from.
        raw: How to read a headerless picture; None for files that describe themselves.
    """

    id: str
    patient: str
    picture: Path
    masks: tuple[Path, ...] = ()
    boxes: tuple[Box, ...] | None = None
    spacing_mm: tuple[float, float] | None = None
    source: str = ""
    raw: RawFormat | None = None

    @property
    def has_truth(self) -> bool:
        """Whether a mask or boxes come with the picture."""
        return bool(self.masks) or self.boxes is not None


P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """A function with its keyword arguments: a value that can be compared, written as JSON and run.

    Attributes:
        function: A module-level function or class.
        arguments: (name, value) pairs in order; the rest is given when it is called.
    """

    function: Callable[..., T]
    arguments: tuple[tuple[str, Any], ...] = ()

    def __call__(self, *values: Any, **more: Any) -> T:
        """Run the function on ``values`` with the stored arguments, ``more`` winning over them."""
        return self.function(*values, **{**dict(self.arguments), **more})


def call(function: Callable[..., T], **arguments: Any) -> Call[T]:
    """``call(f, a=1)(x)`` is ``f(x, a=1)``."""
    return Call(function, tuple(arguments.items()))
