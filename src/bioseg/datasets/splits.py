"""Who learns, who validates, who tests. Every function takes cases and returns splits; the same cases, the same split."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold, train_test_split

from bioseg.specs import Fraction, Seed, Whole
from bioseg.types import BiosegError, Case

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Cases to learn from, to choose by, and to test on."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...] = ()


def ordered(
    cases: Sequence[Case], *, parts: tuple[Fraction, Fraction, Fraction], whole_patients: bool = False
) -> Split:
    """The sorted cases cut by shares: 60/20/20 of 267 are 160, 53 and 54.

    With ``whole_patients`` a cut that would part a patient's cases moves behind the last of them.
    """
    ranked = _sorted(cases)
    first, second = int(len(ranked) * parts[0]), int(len(ranked) * (parts[0] + parts[1]))
    if whole_patients:
        first, second = _patient_end(ranked, first), _patient_end(ranked, second)
    return Split(ranked[:first], ranked[first:second], ranked[second:])


def ordered_tail(cases: Sequence[Case], *, validation: Fraction, test: Whole = 0) -> Split:
    """The last ``test`` of the sorted cases test, the last share of the others validates: 2 and .1 of 670 are 601/67/2."""
    ranked = _sorted(cases)
    rest, last = ranked[: len(ranked) - test], ranked[len(ranked) - test :]
    cut = len(rest) - max(1, round(len(rest) * validation))
    return Split(rest[:cut], rest[cut:], last)


def by_source(cases: Sequence[Case], *, test: str, validation: Fraction) -> Split:
    """The cases of the source ``test`` test; the last share of the others, sorted, validates: .2 of 60 are 48 and 12."""
    rest = ordered_tail([case for case in cases if case.source != test], validation=validation)
    return Split(rest.train, rest.validation, _sorted([case for case in cases if case.source == test]))


def random(cases: Sequence[Case], *, test: Fraction, seed: Seed, validation: Fraction = 0.0) -> Split:
    """scikit-learn's ``train_test_split`` of the sorted cases, as the chest X-ray study did: seed 999, .2 of 138 are 110/28.

    The share ``validation`` is drawn from what remains, with the same seed.
    """
    train, held = train_test_split(_sorted(cases), test_size=test, random_state=seed)
    chosen: Sequence[Case] = ()
    if validation:
        train, chosen = train_test_split(train, test_size=validation, random_state=seed)
    return Split(tuple(train), tuple(chosen), tuple(held))


def each_source(cases: Sequence[Case], *, test: Fraction, seed: Seed, validation: Fraction = 0.0) -> Split:
    """:func:`random` of every source by itself, put together: what tests a source's own model tests the common one."""
    parts = [
        random([case for case in cases if case.source == source], test=test, seed=seed, validation=validation)
        for source in sorted({case.source for case in cases})
    ]
    train, chosen, held = (tuple(case for part in parts for case in getattr(part, name)) for name in PARTS)
    return Split(train, chosen, held)


def k_fold(cases: Sequence[Case], *, folds: int, seed: Seed | None = None) -> list[Split]:
    """scikit-learn's ``KFold`` over the cases in their order, shuffled if there is a seed."""
    _enough(len(cases), folds, "cases")
    halves = KFold(folds, shuffle=seed is not None, random_state=seed).split(np.arange(len(cases)))
    return [Split(tuple(cases[i] for i in train), tuple(cases[i] for i in held)) for train, held in halves]


def grouped_k_fold(cases: Sequence[Case], *, folds: int, seed: Seed = 0) -> list[Split]:
    """Folds of about equal size in which no patient is in two; the order of patients is shuffled.

    Raises:
        BiosegError: There are fewer patients than folds.
    """
    groups = _patients(cases, seed)
    _enough(len(groups), folds, "patients")
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

    Raises:
        BiosegError: There are fewer patients than parts.
    """
    groups = _patients(cases, seed)
    _enough(len(groups), 2 + (test > 0), "patients")
    taken: list[list[Case]] = []
    for share, left in ((test, 2), (validation, 1)):  # so many patients must remain for the parts that follow
        part: list[Case] = []
        while share and len(groups) > left and (not part or len(part) + len(groups[-1]) / 2 <= share * len(cases)):
            part += groups.pop()
        taken.append(part)
    return Split(_sorted([case for group in groups for case in group]), _sorted(taken[1]), _sorted(taken[0]))


def from_csv(cases: Sequence[Case], *, path: str) -> Split:
    """The split written in a table with the columns ``id`` and ``part`` (train, validation, test).

    Raises:
        BiosegError: The table is missing or names other parts, or a case of it is not there.
    """
    try:
        rows = list(csv.DictReader(Path(path).read_text().splitlines()))
        parts = {row["id"]: row["part"] for row in rows}
    except (OSError, KeyError) as fault:
        raise BiosegError(f"{path}: not a split ({fault}); expected a table with the columns id and part") from None
    known = {case.id: case for case in cases}
    for name, part in parts.items():
        if part not in PARTS:
            raise BiosegError(f"{path}: {name} is in part {part!r}; there are {', '.join(PARTS)}")
        if name not in known:
            raise BiosegError(f"{path}: {name} is not among the {len(known)} cases; is this the data it was made for?")
    return Split(*(tuple(known[name] for name, own in parts.items() if own == part) for part in PARTS))


def ids(split: Split) -> dict[str, list[str]]:
    """The ids of the cases in each part."""
    return {part: [case.id for case in getattr(split, part)] for part in PARTS}


def checksum(split: Split) -> str:
    """Twelve hexadecimal digits of which case is in which part."""
    text = "\n".join(f"{part} {name}" for part in PARTS for name in sorted(case.id for case in getattr(split, part)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _sorted(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(sorted(cases, key=lambda case: case.id))


def _patient_end(cases: Sequence[Case], cut: int) -> int:
    while 0 < cut < len(cases) and cases[cut].patient == cases[cut - 1].patient:
        cut += 1
    return cut


def _patients(cases: Sequence[Case], seed: int) -> list[list[Case]]:
    """The cases of each patient, patients in a random order."""
    groups: dict[str, list[Case]] = {}
    for case in _sorted(cases):
        groups.setdefault(case.patient, []).append(case)
    names = sorted(groups)
    return [groups[names[index]] for index in np.random.default_rng(seed).permutation(len(names))]


def _enough(there: int, wanted: int, what: str) -> None:
    if there < wanted:
        raise BiosegError(
            f"{there} usable {what} with masks, and {wanted} parts to fill; add images or ask for fewer folds"
        )
