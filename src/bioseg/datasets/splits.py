"""Training, validation and test sets. Every function takes cases and returns splits; the same cases, the same split.

What a case belongs to (its patient, or itself where that is unknown) is :attr:`bioseg.types.Case.group`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, train_test_split

from bioseg import files
from bioseg.specs import Fraction, Seed, Whole
from bioseg.types import BiosegError, Case

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Cases to train on, to choose by, and to test on."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...] = ()


def ordered(
    cases: Sequence[Case], *, parts: tuple[Fraction, Fraction, Fraction], whole_patients: bool = False
) -> Split:
    """The sorted cases cut by shares: 60/20/20 of 267 are 160, 53 and 54.

    With ``whole_patients`` a cut that would divide a patient's cases moves behind the last of them; without, as in the
    published splits that this reproduces, a patient may be in two parts; the slices of one file never are.
    """
    ranked = _sorted(cases)
    first, second = int(len(ranked) * parts[0]), int(len(ranked) * (parts[0] + parts[1]))
    if whole_patients:
        first, second = _patient_end(ranked, first), _patient_end(ranked, second)
    first, second = _file_start(ranked, first), _file_start(ranked, second)
    return Split(ranked[:first], ranked[first:second], ranked[second:])


def ordered_tail(cases: Sequence[Case], *, validation: Fraction, test: Whole = 0) -> Split:
    """The last ``test`` of the sorted cases test, the last share of the others validates: 2 and .1 of 670 are 601/67/2.

    A part begins with the first slice of a file.
    """
    ranked = _sorted(cases)
    end = _file_start(ranked, max(0, len(ranked) - test))
    rest, last = ranked[:end], ranked[end:]
    cut = _file_start(rest, max(0, len(rest) - max(1, round(len(rest) * validation))))
    return Split(rest[:cut], rest[cut:], last)


def by_source(cases: Sequence[Case], *, test: str, validation: Fraction) -> Split:
    """The cases of the source ``test`` test; the last share of the others, sorted, validates: .2 of 60 are 48 and 12."""
    rest = ordered_tail([case for case in cases if case.source != test], validation=validation)
    return Split(rest.train, rest.validation, _sorted([case for case in cases if case.source == test]))


def random(cases: Sequence[Case], *, test: Fraction, seed: Seed, validation: Fraction = 0.0) -> Split:
    """scikit-learn's ``train_test_split`` of the sorted cases, as the chest X-ray study did: seed 999, .2 of 138 are 110/28.

    The share ``validation`` is drawn from what remains, with the same seed. Cases of one patient are drawn together.

    Raises:
        BiosegError: There are too few cases to fill the parts.
    """
    groups = _grouped(_sorted(cases))
    if (least := _least(test, validation)) > len(groups):
        shares = f"{test:.0%} for testing" + (f" and {validation:.0%} of the rest for validation" if validation else "")
        raise BiosegError(
            f"{_images(cases, len(groups))}: too few to set {shares} aside and train on the rest; give at least {least}"
        )
    rest, held = train_test_split(groups, test_size=test, random_state=seed) if test else (groups, [])
    chosen: list[list[Case]] = []
    if validation:
        rest, chosen = train_test_split(rest, test_size=validation, random_state=seed)
    return Split(_flat(rest), _flat(chosen), _flat(held))


def each_source(cases: Sequence[Case], *, test: Fraction, seed: Seed, validation: Fraction = 0.0) -> Split:
    """:func:`random` of every source by itself, put together: what tests a source's own model tests the common one.

    Raises:
        BiosegError: A source has too few cases.
    """
    parts = []
    for source in sorted({case.source for case in cases}):
        own = [case for case in cases if case.source == source]
        try:
            parts.append(random(own, test=test, seed=seed, validation=validation))
        except BiosegError as fault:
            raise BiosegError(f"{source}: {fault}") from None
    train, chosen, held = (tuple(case for part in parts for case in getattr(part, name)) for name in PARTS)
    return Split(train, chosen, held)


def k_fold(cases: Sequence[Case], *, folds: int, seed: Seed | None = None) -> list[Split]:
    """scikit-learn's ``KFold`` over the patients in the order of their first cases, shuffled if there is a seed.

    Raises:
        BiosegError: There are fewer patients than folds.
    """
    groups = _grouped(cases)
    _enough(cases, len(groups), folds)
    halves = KFold(folds, shuffle=seed is not None, random_state=seed).split(np.arange(len(groups)))
    return [Split(_flat(groups[i] for i in train), _flat(groups[i] for i in held)) for train, held in halves]


def grouped_k_fold(cases: Sequence[Case], *, folds: int, seed: Seed = 0) -> list[Split]:
    """Folds of about equal size in which no patient is in two; the order of patients is shuffled.

    Raises:
        BiosegError: There are fewer patients than folds.
    """
    groups = _shuffled(cases, seed)
    _enough(cases, len(groups), folds)
    held: list[list[Case]] = [[] for _ in range(folds)]
    for group in sorted(groups, key=len, reverse=True):
        min(held, key=len).extend(group)
    parts = [{case.id for case in fold} for fold in held]
    ranked = _sorted(cases)
    return [
        Split(tuple(case for case in ranked if case.id not in part), tuple(case for case in ranked if case.id in part))
        for part in parts
    ]


def by_patient(cases: Sequence[Case], *, validation: Fraction = 0.2, test: Fraction = 0.0, seed: Seed = 0) -> Split:
    """Random patients until each part has its share of the cases; every part asked for gets at least one.

    A patient with more than half of all cases stays in the training set.

    Raises:
        BiosegError: There are fewer patients than parts.
    """
    groups = _shuffled(cases, seed)
    _enough(cases, len(groups), 2 + (test > 0))
    groups.sort(key=lambda group: 2 * len(group) <= len(cases))  # stable: at most one group is moved, to the front
    taken: list[list[Case]] = []
    for share, left in ((test, 2), (validation, 1)):  # so many patients must remain for the parts that follow
        part: list[Case] = []
        while share and len(groups) > left and (not part or len(part) + len(groups[-1]) / 2 <= share * len(cases)):
            part += groups.pop()
        taken.append(part)
    return Split(_sorted(_flat(groups)), _sorted(taken[1]), _sorted(taken[0]))


def from_csv(cases: Sequence[Case], *, path: str) -> Split:
    """The split written in a table with the columns ``id`` and ``part`` (train, validation, test).

    Raises:
        BiosegError: The table cannot be read, has other columns or parts, names a case twice or one that is not there.
    """
    known = {case.id: case for case in cases}
    parts: dict[str, str] = {}
    for row in files.read_csv(Path(path)):
        if "id" not in row or "part" not in row:
            raise BiosegError(f"{path}: columns {', '.join(row)}; a split has the columns id and part")
        name, part = row["id"], row["part"]
        if part not in PARTS:
            raise BiosegError(f"{path}: {name} is in part {part!r}; there are {', '.join(PARTS)}")
        if name in parts:
            raise BiosegError(f"{path}: {name} is there twice ({parts[name]}, {part}); leave one of the lines")
        if name not in known:
            raise BiosegError(
                f"{path}: {name} is not among the {len(known)} cases (such as {next(iter(known), 'none')}); is this the data "
                "it was made for?"
            )
        parts[name] = part
    return Split(*(tuple(known[name] for name, own in parts.items() if own == part) for part in PARTS))


def straddling(split: Split) -> list[str]:
    """A warning for every two parts that share a known patient."""
    patients = {part: {case.patient for case in getattr(split, part) if case.patient} for part in PARTS}
    warnings = []
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if both := sorted(patients[one] & patients[other]):
            names = ", ".join(both[:3]) + (" …" if len(both) > 3 else "")
            warnings.append(
                f"{counted(len(both), 'patient')} with images in {one} and in {other} ({names}): scores are optimistically biased"
            )
    return warnings


def ids(split: Split) -> dict[str, list[str]]:
    """The ids of the cases in each part."""
    return {part: [case.id for case in getattr(split, part)] for part in PARTS}


def checksum(split: Split) -> str:
    """Twelve hexadecimal digits of which case is in which part."""
    return checksum_of(ids(split))


def checksum_of(parts: Mapping[str, Sequence[str]]) -> str:
    """:func:`checksum` of what :func:`ids` returns."""
    text = "\n".join(f"{part} {name}" for part in PARTS for name in sorted(parts.get(part, ())))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _sorted(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(sorted(cases, key=lambda case: case.id))


def _flat(groups: Iterable[Sequence[Case]]) -> tuple[Case, ...]:
    return tuple(case for group in groups for case in group)


def _patient_end(cases: Sequence[Case], cut: int) -> int:
    while 0 < cut < len(cases) and cases[cut].group == cases[cut - 1].group:
        cut += 1
    return cut


def _file_start(cases: Sequence[Case], cut: int) -> int:
    """A cut between two slices of one file moves before the first of them."""
    while 0 < cut < len(cases) and cases[cut].plane is not None and cases[cut].path == cases[cut - 1].path:
        cut -= 1
    return cut


def _grouped(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases of each patient, in the order of their first cases."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return list(groups.values())


def _shuffled(cases: Sequence[Case], seed: int) -> list[list[Case]]:
    """The cases of each patient, sorted; patients in a random order."""
    groups = sorted(_grouped(_sorted(cases)), key=lambda group: group[0].group)
    return [groups[index] for index in np.random.default_rng(seed).permutation(len(groups))]


def _least(test: float, validation: float) -> int:
    """With fewer groups than this, scikit-learn's rounding (up, for what is held out) leaves none to train on."""
    return next(n for n in range(1, 10_000) if (rest := n - ceil(test * n)) - ceil(validation * rest) >= 1 and n > 1)


def _enough(cases: Sequence[Case], groups: int, parts: int) -> None:
    if groups < parts:
        raise BiosegError(
            f"{_images(cases, groups)}: too few for {parts} parts; add images of other patients or ask for fewer folds"
        )


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _images(cases: Sequence[Case], groups: int) -> str:
    images = counted(len(cases), "image")
    return images if groups == len(cases) else f"{images} of {counted(groups, 'patient')}"
