from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, train_test_split

from bioseg import files
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
    with pytest.raises(BiosegError, match="6 images of 1 patient: too few for 2 parts; add"):
        splits.by_patient(cases(6, per_patient=6))
    for work in (splits.grouped_k_fold, splits.k_fold):
        with pytest.raises(BiosegError, match="3 images: too few for 5 parts"):
            work(cases(3), folds=5)
        with pytest.raises(BiosegError, match="12 images of 3 patients: too few for 5 parts"):
            work(cases(12, per_patient=4), folds=5)


@pytest.mark.parametrize(("test", "validation", "least"), [(0.2, 0.0, 2), (0.2, 0.1, 3), (0.67, 0.0, 4), (0.4, 0.0, 2)])
def test_a_random_split_of_a_tiny_set_works_or_says_how_many_it_needs(
    test: float, validation: float, least: int
) -> None:
    for count in range(8):
        if count >= least:
            split = splits.random(cases(count), test=test, validation=validation, seed=0)
            assert split.train and split.test and bool(split.validation) == bool(validation)
            assert sum(sizes(split)) == count
        else:
            plural = "" if count == 1 else "s"
            with pytest.raises(
                BiosegError, match=rf"^{count} image{plural}: too few to set .*; give at least {least}$"
            ):
                splits.random(cases(count), test=test, validation=validation, seed=0)


def test_a_source_that_is_too_small_is_named() -> None:
    tiny = [Case("x", "x", Path("x"), source="tiny")]
    with pytest.raises(BiosegError, match="tiny: 1 image: too few"):
        splits.each_source([*cases(10), *tiny], test=0.2, seed=0)


@pytest.mark.parametrize("count", range(4))
def test_cuts_of_tiny_sets_lose_and_double_nothing(count: int) -> None:
    for split in (
        splits.ordered(cases(count), parts=(0.8, 0.1, 0.1)),
        splits.ordered_tail(cases(count), validation=0.1, test=2),
        splits.by_source(cases(count), test="test", validation=0.2),
    ):
        assert sorted(ids((*split.train, *split.validation, *split.test))) == ids(cases(count))


def test_a_patient_with_most_images_is_trained_on() -> None:
    """Drawn for validation, one patient of ninety images would leave ten to train on."""
    everyone = [Case(f"a{n:02}", "A", Path("x")) for n in range(90)] + [
        Case(f"b{n}", "B", Path("x")) for n in range(10)
    ]
    for seed in range(6):
        split = splits.by_patient(everyone, validation=0.2, seed=seed)
        assert sizes(split) == (90, 10, 0)


def test_where_patients_are_unknown_each_image_is_one() -> None:
    unknown = [Case(f"c{n}", "", Path("x")) for n in range(10)]
    split = splits.by_patient(unknown, validation=0.2)
    assert sizes(split) == (8, 2, 0)
    assert sizes(splits.ordered(unknown, parts=(0.6, 0.2, 0.2), whole_patients=True)) == (6, 2, 2)
    assert not splits.straddling(split)


def test_random_and_k_fold_keep_patients_together() -> None:
    everyone = cases(60, per_patient=3)
    for split in (
        splits.random(everyone, test=0.2, validation=0.2, seed=999),
        *splits.k_fold(everyone, folds=4, seed=1),
    ):
        assert not splits.straddling(split)
        assert sorted(ids((*split.train, *split.validation, *split.test))) == ids(everyone)


def test_patients_in_two_parts_are_warned_of() -> None:
    split = splits.ordered(cases(20, per_patient=7), parts=(0.5, 0.25, 0.25))
    (first, second) = splits.straddling(split)
    assert first == "1 patient with images in train and in validation (p0001): scores are optimistically biased"
    assert "validation and in test" in second


def test_the_checksum_of_the_same_parts_never_changes() -> None:
    """Records of pretrained models hold it."""
    split = Split(tuple(cases(3)), tuple(cases(5)[3:]))
    assert splits.checksum(split) == "0187182cf51a"


def write_split(path: Path, split: Split) -> None:
    files.write_csv(path, ("id", "part"), [(name, part) for part, names in splits.ids(split).items() for name in names])


def test_csv(tmp_path: Path) -> None:
    split = splits.by_patient(cases(10), validation=0.2, test=0.2)
    write_split(tmp_path / "split.csv", split)
    again = splits.from_csv(cases(10), path=str(tmp_path / "split.csv"))
    assert again == split
    assert splits.checksum(again) == splits.checksum(split) != splits.checksum(splits.by_patient(cases(10), seed=1))
    with pytest.raises(BiosegError, match=r"c0009 is not among the 9 cases \(such as c0000\)"):
        splits.from_csv(cases(9), path=str(tmp_path / "split.csv"))
    with pytest.raises(BiosegError, match=r"none\.csv"):
        splits.from_csv(cases(10), path=str(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,part\nc0000,training\n", "c0000 is in part 'training'; there are train, validation, test"),
        ("id,part\nc0000,train\nc0000,test\n", r"c0000 is there twice \(train, test\)"),
        ("name,part\nc0000,train\n", "columns name, part; a split has the columns id and part"),
        ("id,part\nc0000,train,x\n", "line 2"),
        (b"id,part\n\xff,train\n", "not UTF-8"),
    ],
)
def test_a_wrong_table_is_one_line(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BiosegError, match=message) as caught:
        splits.from_csv(cases(10), path=str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
