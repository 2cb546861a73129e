"""Mutated image files of every kind: an image or one line, in bounded time, and never a word on the screen."""

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from bioseg.images import decoder_pool, formats
from bioseg.images.formats import RawImage, UnreadableImage
from tests.contracts.image_files import Kind
from tests.contracts.kinds import KINDS

NAMES = sorted(KINDS)
QUICK, LONG = 5, 100  # mutations of each kind
SECONDS = 3.0
ODD = (0, 1, 2, 255, 256, 32_767, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def flip_bits(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(0, min(len(data), 600), rng.integers(1, 6)):
        data[place] ^= 1 << int(rng.integers(8))


def set_bytes(data: bytearray, rng: np.random.Generator) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 12)):
        data[place] = rng.integers(256)


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(1, len(data))) :]


def drop(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 64))]


def set_length(data: bytearray, rng: np.random.Generator) -> None:
    """An odd number where a count, size or offset may be: in the first 600 bytes, in either byte order."""
    width = rng.choice(["H", "I", "Q"])
    value = int(rng.choice(np.array(ODD, np.uint64))) & (256 ** struct.calcsize(width) - 1)
    packed = struct.pack(rng.choice(["<", ">"]) + width, value)
    place = int(rng.integers(0, max(1, min(len(data), 600) - len(packed))))
    data[place : place + len(packed)] = packed


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, place = rng.integers(0, len(data), 2)
    data[place:place] = data[start : start + int(rng.integers(1, 200))] * int(rng.integers(1, 5))


def splice(data: bytearray, rng: np.random.Generator) -> None:
    """The beginning of one file, the end of another."""
    other = KINDS[NAMES[rng.integers(len(NAMES))]].data
    place = int(rng.integers(len(data)))
    data[place:] = other[min(place, len(other) // 2) :]


def mutated(kind: Kind, seed: int) -> bytes:
    rng = np.random.default_rng([seed, NAMES.index(next(name for name, one in KINDS.items() if one is kind))])
    data = bytearray(kind.data)
    mutations = (flip_bits, set_bytes, cut, drop, set_length, set_length, repeat, splice)
    for index in rng.integers(0, len(mutations), rng.integers(1, 4)):
        mutations[index](data, rng)
        data = data or bytearray(b"\0")
    return bytes(data)


def read(source: Path | bytes, kind: Kind) -> RawImage | str:
    """The image, or the line that says why there is none; anything else fails the test."""
    start = time.monotonic()
    try:
        raw_image = formats.read(source, kind.raw, plane=kind.plane)
    except UnreadableImage as fault:
        said = str(fault)
        assert said.isprintable() and said.startswith(("image given as bytes: ", str(source)[:20])), said
        assert said.rpartition("; ")[2] or said.rpartition(": ")[2]
        assert len(said) < 600
        return said
    finally:
        assert time.monotonic() - start < 2 * SECONDS + 3
    assert raw_image.pixels.ndim in (2, 3)
    assert raw_image.pixels.size
    assert raw_image.pixels.dtype.kind in "uif"
    assert np.isfinite([raw_image.slope, raw_image.intercept]).all()
    return raw_image


def battery(kind: Kind, seeds: range, path: Path) -> tuple[int, int]:
    """How many mutations were read, and how many were refused."""
    images = 0
    for seed in seeds:
        data = mutated(kind, seed)
        by_content = seed % 2 == 0
        if not by_content:
            path.write_bytes(data)
        images += isinstance(read(data if by_content else path, kind), RawImage)
    return images, len(seeds) - images


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_pool, "SECONDS", (SECONDS, 0.0))


@pytest.mark.filterwarnings("error")
def test_some_mutations_of_every_kind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    counts = [battery(kind, range(QUICK), tmp_path / f"image{kind.suffix}") for kind in KINDS.values()]
    images, refused = np.sum(counts, axis=0)
    assert images + refused >= 200
    assert min(images, refused) > 20  # both ways were gone
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_many_mutations(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = int(os.environ.get("BIOSEG_FUZZ_SEED", QUICK))
    battery(KINDS[name], range(first, first + LONG), tmp_path / f"image{KINDS[name].suffix}")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
