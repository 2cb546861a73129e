"""Mutated annotation files of every kind: objects on the image's grid or one line, in bounded time."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import annotations
from bioseg.types import BiosegError
from tests.datasets.annotation_files import FILES, SHAPE, put
from tests.fuzz.test_image_files import cut, drop, flip_bits, repeat, set_bytes, set_length

QUICK, LONG = 20, 1000  # mutations of each kind
SECONDS = 10.0
TEXT = (b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b"true", b"[" * 3000, b"9" * 5000, b"0.5")
CONTENT = {kind: make() for kind, (_, make) in FILES.items()}


def swap_value(data: bytearray, rng: np.random.Generator) -> None:
    """An odd value in the place of a number of a text."""
    places = [at for at in range(1, len(data)) if 48 <= data[at] < 58]
    if places:
        at = places[int(rng.integers(len(places)))]
        data[at : at + 1] = TEXT[int(rng.integers(len(TEXT)))]


def mutated(kind: str, seed: int) -> bytes:
    rng = np.random.default_rng([seed, list(FILES).index(kind)])
    data = bytearray(CONTENT[kind])
    ways = (flip_bits, set_bytes, cut, drop, set_length, repeat, swap_value, swap_value)
    for index in rng.integers(0, len(ways), rng.integers(1, 4)):
        ways[index](data, rng)
        data = data or bytearray(b"\0")
    return bytes(data)


def battery(kind: str, seeds: range, folder: Path) -> tuple[int, int]:
    """How many mutations were read, and how many were refused."""
    path, found = put(folder, kind), 0
    for seed in seeds:
        path.write_bytes(mutated(kind, seed))
        start = time.monotonic()
        try:
            objects = annotations.read(path, SHAPE, folder / "x.dcm")
        except BiosegError as fault:
            said = str(fault)
            assert said.isprintable() and said.startswith(str(path)) and "; " in said and len(said) < 600, said
        else:
            found += 1
            assert all(one.mask.shape == SHAPE and one.name.isprintable() for one in objects)
            assert annotations.numbered(objects, SHAPE).max() <= len(objects)
        assert time.monotonic() - start < SECONDS
        annotations.format_of(path)
    path.unlink()
    return found, len(seeds) - found


@pytest.mark.filterwarnings("ignore:::pydicom")
def test_some_mutations_of_every_kind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    counts = [battery(kind, range(QUICK), tmp_path) for kind in FILES]
    read, refused = np.sum(counts, axis=0)
    assert read + refused >= 220
    assert min(read, refused) > 20  # both ways were gone
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:::pydicom")
def test_many_mutations(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = int(os.environ.get("BIOSEG_FUZZ_SEED", QUICK))
    battery(kind, range(first, first + LONG), tmp_path)
    assert capfd.readouterr() == ("", "")
