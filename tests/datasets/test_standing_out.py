"""Images that are there twice, and images unlike the others, from the numbers of each case."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import duplicates, outlying
from bioseg.datasets.case_facts import CaseFacts, look, of_case
from bioseg.datasets.splits import Split
from bioseg.images.formats import to_raw_image
from bioseg.types import Array, Case

PLAIN = CaseFacts((64, 64), 1, (0.5, 0.5), 0.0, 100.0, 200.0, 0.1, 0.2, (), 1, "", "", b"")


def noise(seed: int, size_px: int = 64) -> Array:
    coarse = np.random.default_rng(seed).integers(20, 200, (16, 16)).astype(np.uint8)
    return coarse.repeat(size_px // 16, axis=0).repeat(size_px // 16, axis=1)


def facts_of(images: dict[str, Array]) -> dict[str, CaseFacts]:
    return {
        name: of_case(Case(name, "", b""), to_raw_image(pixels), {"": np.zeros(pixels.shape[:2], bool)})
        for name, pixels in images.items()
    }


def cases(patients: dict[str, str]) -> list[Case]:
    return [Case(name, patient, Path(name)) for name, patient in patients.items()]


def test_copies_are_found_whatever_was_done_to_them() -> None:
    made = {f"n{seed}": noise(seed) for seed in range(30)}
    made |= {
        "same": noise(1), "half": noise(2)[::2, ::2], "bright": noise(3) + np.uint8(40), "negative": 255 - noise(4),
        "coloured": np.repeat(noise(5)[..., None], 3, axis=-1), "deep": noise(6).astype(np.uint16) * 256,
    }  # fmt: skip
    found = duplicates.find(facts_of(made), cases(dict.fromkeys(made, "")))
    assert {one.cases: one.same_pixels for one in found} == {
        ("n1", "same"): True, ("n2", "half"): False, ("n3", "bright"): False, ("n4", "negative"): False,
        ("n5", "coloured"): False, ("n6", "deep"): False,
    }  # fmt: skip
    assert look(np.full((8, 8), 3, np.float32)) == b""


def test_duplicates_are_of_patients_and_parts() -> None:
    facts = facts_of({name: noise(0 if name < "d" else 1) for name in "abcdef"})
    facts |= {name: replace(facts[name], content=name) for name in "def"}  # which look alike only
    facts["b"] = replace(facts["b"], mask_content="another")
    known = {"a": "p", "b": "q", "c": "", "d": "r", "e": "r", "f": "r"}
    train, test = cases({"a": "p", "c": ""}), cases({"b": "q"})
    (only,) = duplicates.find(facts, cases(known), Split(tuple(train), (), tuple(test)))
    assert only.cases == ("a", "b", "c") and only.leaks
    assert str(only) == "the same pixels, of 2 patients, patient of 1 unknown, in train and test, with different masks"
    known |= dict.fromkeys("abc", "p") | {"f": "s"}
    same, alike = duplicates.find(facts, cases(known))
    assert str(same) == "the same pixels, of one patient, with different masks" and not same.leaks
    assert str(alike) == "look alike, of 2 patients" and alike.cases == ("d", "e", "f")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": (128, 128)}, "4.0 times as many pixels as usual"),
        ({"shape": (128, 32)}, "taller than usual: width to height 0.25, usually 1.00"),
        ({"spacing_mm": (5.0, 5.0)}, "pixels of 5 mm, usually 0.5 mm"),
        ({"median": 180.0}, "values higher than usual: median 180, usually 100"),
        ({"high": 20.0}, "little contrast: 20 between the 1st and 99th percentile, usually 200"),
        ({"sharpness": 0.01}, "less sharp than usual: 0.1 times the usual edges"),
        ({"sharpness": 1.0}, "noisier or sharper than usual: 10 times the usual edges"),
        ({"channels": 3}, "3 channels, the others grey"),
    ],
)
def test_an_image_unlike_the_others_is_named_with_the_reason(changes: dict[str, object], reason: str) -> None:
    rng = np.random.default_rng(0)
    usual = {f"c{k}": replace(PLAIN, median=100 + float(rng.normal())) for k in range(30)}
    assert outlying.find(usual) == {}
    found = outlying.find(usual | {"odd": replace(PLAIN, **changes)})  # type: ignore[arg-type]
    assert {name: one.reasons for name, one in found.items()} == {"odd": (reason,)}


def test_several_kinds_of_images_are_no_outliers_and_few_images_say_nothing() -> None:
    small = {f"s{k}": PLAIN for k in range(30)}
    large = {f"l{k}": replace(PLAIN, shape=(512, 512), channels=3) for k in range(5)}
    assert outlying.find(small | large) == {}
    assert outlying.find({f"s{k}": PLAIN for k in range(8)} | {"l": large["l0"]}) == {}
    assert outlying.find({name: replace(one, spacing_mm=None) for name, one in small.items()}) == {}


def test_the_furthest_comes_first() -> None:
    many = {f"c{k}": PLAIN for k in range(40)}
    odd = {"far": replace(PLAIN, sharpness=1e-6), "near": replace(PLAIN, sharpness=0.02)}
    assert list(outlying.find(odd | many)) == ["far", "near"]
    both = outlying.find({**many, "x": replace(PLAIN, sharpness=1e-6, shape=(256, 256))})
    assert [reason.split()[0] for reason in both["x"].reasons] == ["less", "16.0"]
