from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, train_test_split

from bioseg.datasets import splits
from bioseg.datasets.splits import Split
from bioseg.types import BiosegError, Case


def cases(count: int, *, per_patient: int = 1) -> list[Case]:
    return [Case(f"c{n:04d}", f"p{n // per_patient:04d}", Path(f"{n}.png")) for n in range(count)]


def sizes(split: Split) -> tuple[int, int, int]:
    return len(split.train), len(split.validation), len(split.test)


def ids(part: Sequence[Case]) -> list[str]:
    return [case.id for case in part]


def test_the_sizes_the_specifications_name() -> None:
    assert sizes(splits.ordered(cases(267), parts=(0.6, 0.2, 0.2))) == (160, 53, 54)
    assert sizes(splits.ordered_tail(cases(670), validation=0.1, test=2)) == (601, 67, 2)
    assert sizes(splits.ordered_tail(cases(60), validation=0.2)) == (48, 12, 0)
    montgomery = splits.random(cases(138), test=0.2, seed=999)
    assert sizes(montgomery) == (110, 0, 28)
    assert [sizes(fold) for fold in splits.k_fold(montgomery.train, folds=5, seed=999)] == [(88, 22, 0)] * 5
    assert sizes(splits.random(cases(247), test=0.67, seed=999)) == (81, 0, 166)


def test_the_test_folder_tests_and_the_tail_of_the_rest_validates() -> None:
    everyone = [Case(f"test/{n}", "t", Path("x"), source="test") for n in range(20)]
    everyone += [Case(f"training/{n:02}", "p", Path("x"), source="training") for n in range(60)]
    split = splits.by_source(everyone, test="test", validation=0.2)
    assert sizes(split) == (48, 12, 20)
    assert ids(split.validation) == [f"training/{n}" for n in range(48, 60)]


def test_each_source_is_split_as_if_it_were_alone() -> None:
    one = [Case(f"a{n:03}", f"a{n}", Path("x"), source="a") for n in range(40)]
    other = [Case(f"b{n:03}", f"b{n}", Path("x"), source="b") for n in range(25)]
    both = splits.each_source([*one, *other], test=0.2, validation=0.1, seed=999)
    alone = [splits.random(part, test=0.2, validation=0.1, seed=999) for part in (one, other)]
    for name in splits.PARTS:
        assert ids(getattr(both, name)) == [case for split in alone for case in ids(getattr(split, name))]
    assert sizes(both) == (28 + 18, 4 + 2, 8 + 5)


def test_an_ordered_cut_moves_behind_the_patient() -> None:
    everyone = cases(100, per_patient=7)
    assert sizes(splits.ordered(everyone, parts=(0.6, 0.2, 0.2))) == (60, 20, 20)
    split = splits.ordered(everyone, parts=(0.6, 0.2, 0.2), whole_patients=True)
    assert sizes(split) == (63, 21, 16)
    parts = [{case.patient for case in part} for part in (split.train, split.validation, split.test)]
    assert not parts[0] & parts[1] and not parts[1] & parts[2]


def test_they_are_scikit_learns() -> None:
    names = ids(cases(138))
    train, test = train_test_split(names, test_size=0.2, random_state=999)
    ours = splits.random(cases(138)[::-1], test=0.2, seed=999)
    assert (ids(ours.train), ids(ours.test)) == (train, test)
    folds = KFold(5, shuffle=True, random_state=999).split(train)
    assert [ids(fold.validation) for fold in splits.k_fold(ours.train, folds=5, seed=999)] == [
        [train[i] for i in held] for _, held in folds
    ]


def test_ordered_keeps_the_order_and_the_tail() -> None:
    split = splits.ordered_tail(cases(20)[::-1], validation=0.1, test=2)
    assert ids(split.validation) == ["c0016", "c0017"]
    assert ids(split.test) == ["c0018", "c0019"]


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 5), st.booleans())
def test_patients_never_straddle(patients: int, each: int, seed: int, with_test: bool) -> None:
    everyone = cases(patients * each, per_patient=each)
    if patients < 2 + with_test:
        return
    split = splits.by_patient(everyone, validation=0.2, test=0.2 * with_test, seed=seed)
    parts = [{case.patient for case in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == patients
    assert all(parts[: 2 + with_test])
    assert sorted(ids((*split.train, *split.validation, *split.test))) == ids(everyone)
    assert split == splits.by_patient(everyone[::-1], validation=0.2, test=0.2 * with_test, seed=seed)


@given(st.integers(5, 30), st.integers(1, 5), st.integers(2, 5))
def test_grouped_folds(patients: int, each: int, folds: int) -> None:
    everyone = cases(patients * each, per_patient=each)
    parts = splits.grouped_k_fold(everyone, folds=folds, seed=1)
    held = [case.id for part in parts for case in part.validation]
    assert sorted(held) == ids(everyone)
    for part in parts:
        assert not {case.patient for case in part.train} & {case.patient for case in part.validation}
    counts = [len(part.validation) for part in parts]
    assert max(counts) - min(counts) <= each


def test_too_few_patients_are_named() -> None:
    with pytest.raises(BiosegError, match="1 usable patients"):
        splits.by_patient(cases(6, per_patient=6))
    with pytest.raises(BiosegError, match=r"3 usable patients.*5 parts"):
        splits.grouped_k_fold(cases(3), folds=5)


def test_csv(tmp_path: Path) -> None:
    split = splits.by_patient(cases(10), validation=0.2, test=0.2)
    splits.to_csv(split, tmp_path / "split.csv")
    again = splits.from_csv(cases(10), path=tmp_path / "split.csv")
    assert again == split
    assert splits.checksum(again) == splits.checksum(split) != splits.checksum(splits.by_patient(cases(10), seed=1))
    with pytest.raises(BiosegError, match="c0009 is not among"):
        splits.from_csv(cases(9), path=tmp_path / "split.csv")
    (tmp_path / "split.csv").write_text("id,part\nc0000,training\n")
    with pytest.raises(BiosegError, match="'training'"):
        splits.from_csv(cases(10), path=tmp_path / "split.csv")
    with pytest.raises(BiosegError, match="not a split"):
        splits.from_csv(cases(10), path=tmp_path / "none.csv")
