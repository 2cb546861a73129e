"""The classes a model tells apart."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg.specs import check, shown
from bioseg.types import BiosegError, Labels, Mask, Probability

FOREGROUND = "foreground"
"""The class of a recipe that names none: whatever the masks show."""

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))
"""Of classes and objects, in order; told apart with every kind of colour vision (Okabe and Ito 2008)."""

RESERVED = frozenset({"background", "marker", "presence"})
MOST = 254
_NUMBERED = re.compile(r"class ([1-9]\d{0,8})")


@dataclass(frozen=True)
class Classes:
    """What is told apart.

    Attributes:
        names: In the order of the network's planes; in label images, the first has the value 1, the second 2, …
            ``("foreground",)`` alone: everything in the ground truth, whatever its class.
        exclusive: A pixel belongs to one class or to the background (softmax); else to any number of classes, each of which
            is decided by itself (sigmoid).
    """

    names: tuple[str, ...] = (FOREGROUND,)
    exclusive: bool = True

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "classes")
        if not 1 <= len(self.names) <= MOST:
            raise BiosegError(f"classes.names: {len(self.names)} names; give 1 to {MOST}")
        for name in self.names:
            if fault := bad_name(name):
                raise BiosegError(f"classes.names: {shown(name)}: {fault}")
        if len({name.casefold() for name in self.names}) < len(self.names):
            raise BiosegError(f"classes.names: {', '.join(self.names)}: one stands there twice; give each once")
        if self.several and FOREGROUND in self.names:
            raise BiosegError(f"classes.names: {FOREGROUND!r} stands for everything; name the class itself")

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self.names) > 1

    @property
    def values(self) -> tuple[int, ...]:
        """What they are in label images that no table explains: 7 for ``class 7``, if all are called so; else 1, 2, 3 …"""
        numbers = [match[1] for name in self.names if (match := _NUMBERED.fullmatch(name))]
        every = len(numbers) == len(self.names)
        return tuple(map(int, numbers)) if every else tuple(range(1, len(self.names) + 1))

    @property
    def whole(self) -> bool:
        """Whether everything in the ground truth counts, whatever its class."""
        return self.names == (FOREGROUND,)


def bad_name(name: str) -> str:
    """Why a text cannot name a class, and the remedy; empty where it can."""
    if not name or name != name.strip() or len(name) > 64 or not name.isprintable():
        return "give 1 to 64 printable characters without blanks around them"
    if any(letter in '/\\:;,"<>|*?=' for letter in name) or name.startswith((".", "-")):
        return "name it with letters, digits, blanks, dots, + and -, beginning with none of the signs"
    return "means something else here; choose another name" if name.casefold() in RESERVED else ""


EVERYTHING = Classes()
"""One class: whatever the ground truth shows."""


def probabilities(logits: NDArray[Any], classes: Classes) -> NDArray[np.float32]:
    """Logits [N, K, rows, cols] as probabilities in [0, 1].

    Of exclusive classes the background's logit is 0, so that one class alone has the sigmoid of its own. Planes after those
    of the classes are sigmoids.
    """
    from scipy.special import expit

    count = len(classes.names)
    if not (classes.exclusive and classes.several):
        return np.asarray(expit(logits), np.float32)
    own = logits[:, :count]
    top = np.maximum(own.max(axis=1, keepdims=True), 0)
    powers = np.exp(own - top)
    shares = powers / (np.exp(-top) + powers.sum(axis=1, keepdims=True))
    return np.concatenate([shares, expit(logits[:, count:])], axis=1, dtype=np.float32)


def united(planes: Probability, classes: Classes) -> Probability:
    """The probability of any class, from those of the classes [K, …]: the sum of exclusive ones, the largest of others."""
    if len(planes) == 1:
        return np.asarray(planes[0])
    joined = planes.sum(axis=0) if classes.exclusive else planes.max(axis=0)
    return np.asarray(np.minimum(joined, 1), np.float32)


def assigned(planes: Probability, classes: Classes, thresholds: NDArray[np.float32]) -> Mask:
    """The pixels of each class.

    Args:
        planes: [K, rows, cols], probabilities of the classes.
        classes: Which.
        thresholds: [K]. Of exclusive classes the most probable one is taken where its probability, compared with that of the
            background alone, p / (p + background), is above its threshold; at .5 it is the most probable of all.

    Returns:
        [K, rows, cols].
    """
    limits = thresholds[:, None, None]
    if not (classes.exclusive and classes.several):
        return np.asarray(planes > limits)
    background = np.maximum(1 - planes.sum(axis=0), 0)
    best = planes.argmax(axis=0)
    first = np.arange(len(planes))[:, None, None] == best
    return np.asarray(first & (planes * (1 - limits) > limits * background))


def class_of_objects(labels: Labels, masks: Mask) -> NDArray[np.intp]:
    """The class that most of each object's pixels have.

    Args:
        labels: [rows, cols], objects numbered from 1.
        masks: [K, rows, cols], of the classes.

    Returns:
        [number of the last object], indices of classes; the first class where an object has none.
    """
    counts = np.stack([np.bincount(labels[mask], minlength=labels.max(initial=0) + 1) for mask in masks])
    return np.asarray(counts.argmax(axis=0)[1:])
