"""Images that are in a data set more than once: the same pixels, or copies that look alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bioseg.datasets.case_facts import LOOK_BITS, CaseFacts
from bioseg.datasets.splits import PARTS, Split
from bioseg.types import Case

ALIKE_BITS = 24
"""Looks that differ in at most this many of their 256 bits are alike. Copies that were halved in size, compressed as JPEG
or made brighter differ in fewer (median 2 to 18); the closest images of different patients of the public sets in 46."""
_BLOCK = 1024
"""Looks compared with all others at once, so that memory does not grow with the square of their number."""


@dataclass(frozen=True)
class Duplicates:
    """Cases that may be one.

    Attributes:
        cases: Ids, two or more.
        same_pixels: Whether the images are equal; otherwise they only look alike.
        patients: How many different patients are known for them.
        unknown: Of how many the patient is unknown.
        parts: Parts of the folder's own split that they lie in.
        masks_differ: Whether the same image has different ground truth.
    """

    cases: tuple[str, ...]
    same_pixels: bool
    patients: int
    unknown: int
    parts: tuple[str, ...]
    masks_differ: bool

    @property
    def leaks(self) -> bool:
        """Whether an image may be trained on and scored as unseen: they are of several patients or parts."""
        return self.patients + self.unknown > 1 or len(self.parts) > 1

    def __str__(self) -> str:
        """In words."""
        words = ["the same pixels" if self.same_pixels else "look alike"]
        if self.patients > 1:
            words.append(f"of {self.patients} patients")
        if self.unknown:
            words.append("patient unknown" if not self.patients else f"patient of {self.unknown} unknown")
        if self.patients == 1 and not self.unknown:
            words.append("of one patient")
        if len(self.parts) > 1:
            words.append(f"in {' and '.join(self.parts)}")
        if self.masks_differ:
            words.append("with different masks")
        return ", ".join(words)


def find(facts: Mapping[str, CaseFacts], cases: Sequence[Case], split: Split | None = None) -> tuple[Duplicates, ...]:
    """Groups of cases with the same pixels, then groups that look alike; those of several parts or patients first.

    Images of one known patient that look alike, as neighbouring slices do, are no duplicates.

    Args:
        facts: By the case's id.
        cases: The data set.
        split: The folder's own.
    """
    patients = {case.id: case.patient for case in cases}
    parts = {case.id: part for part in PARTS for case in getattr(split, part)} if split else {}

    def group(names: Sequence[str], same_pixels: bool) -> Duplicates:
        known = [patients.get(name, "") for name in names]
        places = {parts[name] for name in names if name in parts}
        masks = {facts[name].mask_content for name in names} if same_pixels else set[str]()
        return Duplicates(
            tuple(names),
            same_pixels,
            len({*known} - {""}),
            known.count(""),
            tuple(part for part in PARTS if part in places),
            len(masks) > 1,
        )

    same: dict[str, list[str]] = {}
    for name, one in facts.items():
        same.setdefault(one.content, []).append(name)
    equal = [group(names, True) for names in same.values() if len(names) > 1]
    first = [names[0] for names in same.values() if facts[names[0]].look]
    alike = [group(names, False) for names in _alike(first, facts)]
    return tuple(sorted(equal, key=_order) + sorted((one for one in alike if one.leaks), key=_order))


def _order(one: Duplicates) -> tuple[bool, bool, int]:
    return len(one.parts) < 2, one.patients < 2, -len(one.cases)


def _alike(names: Sequence[str], facts: Mapping[str, CaseFacts]) -> list[list[str]]:
    """Groups of names whose looks are alike, directly or by way of others."""
    if len(names) < 2:
        return []
    pairs = np.concatenate([*_pairs(np.frombuffer(b"".join(facts[name].look for name in names), np.uint8))])
    links = sparse.coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (len(names), len(names)))
    groups: dict[int, list[str]] = {}
    for name, number in zip(names, sparse.csgraph.connected_components(links, directed=False)[1], strict=True):
        groups.setdefault(int(number), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(looks: NDArray[np.uint8]) -> Iterator[NDArray[np.intp]]:
    """[pairs, 2]: places of looks that differ in few bits, or in all but a few, as an inverted copy does."""
    bits = LOOK_BITS**2
    signs = np.unpackbits(looks).reshape(-1, bits).astype(np.float32) * 2 - 1
    for start in range(0, len(signs), _BLOCK):
        alike = np.argwhere(np.abs(signs[start : start + _BLOCK] @ signs[start:].T) >= bits - 2 * ALIKE_BITS)
        yield alike[alike[:, 0] < alike[:, 1]] + start
