"""Files that hold several images: which axis is cut, how slices lie, what of bad headers; see contracts for every kind."""

import gzip
import os
import struct
import time
import zlib
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bioseg.images import formats, volumes
from bioseg.images.formats import UnreadableImage
from tests.contracts.image_files import SIGNED, WORDS
from tests.contracts.volume_files import LPS, frames, metaimage, nifti, nrrd_file, volume


def refusal(data: bytes | Path, plane: int | None = 0) -> str:
    with pytest.raises(UnreadableImage) as raised:
        formats.read(data, plane=plane)
    assert len(str(raised.value).splitlines()) == 1 and "; " in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_slices_lie_as_on_a_radiologists_screen_whatever_the_order_of_the_file(order: tuple[int, int, int]) -> None:
    # 4 sagittal, 5 coronal, 6 axial planes in LPS order: every voxel says where it is, (left, back, feet) of the patient
    patient = np.stack(np.meshgrid(range(4), range(5), range(6), indexing="ij"), axis=-1)
    spacing = np.array([1.0, 1.1, 1.2])
    for longest, signs in product(range(3), product((1, -1), repeat=3)):
        voxels = np.transpose(patient, (*order, 3))[:: signs[0], :: signs[1], :: signs[2]]
        affine, lengths = np.zeros((4, 4)), np.where(np.arange(3) == longest, 5.0, spacing)
        for axis, (towards, sign) in enumerate(zip(order, signs, strict=True)):
            affine[towards, axis] = -sign * lengths[towards]  # RAS runs against left, back, feet
        how = volumes.cut(volumes.grid_of(voxels.shape[:3], affine))
        assert how.axis == order.index(longest)
        coded = voxels @ np.array([1, 10, 100])
        image = how.to_image(np.take(coded, 1, how.axis))
        rows, cols = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[longest]
        steps = np.array([1, 10, 100])
        assert (np.diff(image, axis=0) == steps[rows]).all() and (np.diff(image, axis=1) == steps[cols]).all()
        assert (how.to_slice(image) == np.take(coded, 1, how.axis)).all()
        assert how.spacing_mm == pytest.approx((5.0, lengths[rows], lengths[cols]))


def test_the_last_axis_is_cut_where_voxels_are_alike_and_a_flat_one_always() -> None:
    assert volumes.cut(volumes.grid_of((4, 5, 6), np.diag([1.4, 1, 1, 1]))).axis == 2
    assert volumes.cut(volumes.grid_of((1, 5, 6), np.diag([1, 1, 3, 1]))).axis == 0
    assert volumes.cut(volumes.grid_of((4, 5), None)).axis == 2
    unplaced = volumes.cut(volumes.grid_of((4, 5, 6), None, (1.0, 2.0, 2.0)))
    assert (unplaced.axis, unplaced.rows, unplaced.cols, unplaced.flips) == (2, 1, 0, (False, False))


def test_a_file_says_how_many_planes_it_has_and_of_which_grid(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nifti(volume(WORDS)))
    facts = formats.facts(path)
    assert (facts.shape, facts.planes) == (WORDS.shape, 4) and formats.size(path) == WORDS.shape
    assert facts.grid and facts.grid.shape == (*WORDS.T.shape, 4) and np.allclose(facts.grid.affine, LPS[:3])
    assert formats.planes(metaimage(volume(WORDS))) == 4 and formats.planes(frames(volume(WORDS))) == 4
    assert "4 planes in one file; give --plane 1…4, or save one as a file of its own" in refusal(path, None)
    assert "has no plane 5, but 4; give another --plane" in refusal(path, 4)
    single = tmp_path / "b.nii"
    single.write_bytes(nifti(WORDS.T[..., None], packed=False))
    assert (formats.read(single).pixels == WORDS).all() and (formats.read(single, plane=0).pixels == WORDS).all()


def test_units_that_are_not_said(tmp_path: Path) -> None:
    def spacing(affine: np.ndarray) -> tuple[float, float] | None:
        return formats.read(nifti(volume(WORDS), affine, unit="unknown"), plane=0).spacing_mm

    assert spacing(LPS) == (0.75, 0.5)  # as nibabel itself leaves it
    assert spacing(np.diag([-1.0, -1, 1, 1])) is None


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    for image in (WORDS, SIGNED):
        path.write_bytes(nifti(volume(image)))
        for plane in (2, 2):
            assert (formats.read(path, plane=plane).pixels == image).all()


def test_a_packed_volume_is_unpacked_once_for_all_its_slices(tmp_path: Path) -> None:
    path, voxels = tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 9, (128, 128, 200), np.uint8)
    path.write_bytes(gzip.compress(nifti(voxels, packed=False), 1))
    formats.read(path, plane=0)
    started = time.perf_counter()
    formats.read(path, plane=199)
    whole = time.perf_counter() - started
    started = time.perf_counter()
    for plane in range(100):
        assert (formats.read(path, plane=plane).pixels == voxels[..., plane].T).all()
    assert time.perf_counter() - started < 20 * max(whole, 0.02)


def test_voxels_beside_a_metaimage_header(tmp_path: Path) -> None:
    whole = metaimage(volume(WORDS))
    end = whole.index(b"LOCAL\n")
    header, voxels = whole[:end], whole[end + 6 :]
    path = tmp_path / "a.mhd"
    for data, fields in ((voxels, b""), (b"12345" + voxels, b"HeaderSize = -1\n"), (zlib.compress(voxels), b"")):
        (tmp_path / "a.raw").write_bytes(data)
        packed = (
            header.replace(b"CompressedData = False", b"CompressedData = True") if len(data) < len(voxels) else header
        )
        path.write_bytes(fields + packed + b"a.raw\n" if fields else packed + b"a.raw\n")
        assert (formats.read(path, plane=2).pixels == WORDS).all()
    assert "give the path of the file" in refusal(path.read_bytes())
    assert formats.is_image(path) and not formats.is_image(tmp_path / "a.raw")
    (tmp_path / "a.raw").write_bytes(voxels[:-1])
    path.write_bytes(header + b"a.raw\n")
    assert "bytes of voxels" in refusal(path)
    os.mkfifo(tmp_path / "pipe.raw")
    for name, says in {
        "gone.raw": "not beside it", "pipe.raw": "not beside it", "../a.raw": "save it as one file", "/etc/passwd": "one file",
        "LIST": "one file", "a%02d.raw 1 4 1": "one file",
    }.items():  # fmt: skip
        path.write_bytes(header + name.encode() + b"\n")
        assert says in refusal(path)


PLAIN = nifti(volume(WORDS), packed=False)
NAN = PLAIN[:280] + struct.pack("<f", float("nan")) + PLAIN[284:]
FLAT = PLAIN[:280] + bytes(16) + PLAIN[296:]
LIES = bytearray(PLAIN)
LIES[42:48] = struct.pack("<3h", 30_000, 30_000, 4)
MANY = bytearray(PLAIN)
MANY[42:48] = struct.pack("<3h", 4, 4, 32_000)
BOMB = bytes(1 << 26)
BAD: dict[str, tuple[bytes, str] | tuple[bytes, str, int | None]] = {
    "affine of NaN": (NAN, "is no place in space"),
    "flat affine": (FLAT, "is no place in space"),
    "four axes": (nifti(np.zeros((4, 5, 3, 2), np.uint8)), "4×5×3×2 voxels; save one"),
    "complex": (nifti(np.zeros((4, 5, 3), np.complex64)), "complex numbers"),
    "colours": (nifti(np.zeros((4, 5, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])), "save them as integers or floats"),
    "wide dims": (bytes(LIES), "bytes of voxels, 30000×30000×4"),
    "wide dims, packed": (gzip.compress(bytes(LIES)), "30000×30000 is more than 150,000,000 pixels"),
"many dims, packed": (gzip.compress(bytes(MANY)), "32000 planes in one file", None),
    "fewer planes than it says": (gzip.compress(bytes(MANY)), "damaged or cut short (its voxels end early)", 31_999),
    "packed twice": (gzip.compress(nifti(volume(WORDS))), "a gzip file"),
    "no number": (nifti(np.full((4, 5, 3), np.nan, np.float32)), "no number in it"),
    "MetaImage in colour": (metaimage(volume(WORDS), ElementNumberOfChannels="3"), "save numbers of one channel"),
    "MetaImage of no type": (metaimage(volume(WORDS), ElementType="MET_OTHER"), "'MET_OTHER' is not supported"),
    "MetaImage of planes without end": (metaimage(volume(WORDS), packed=True, DimSize="9 9 999999"), "999,999 planes"),
    "MetaImage of no size": (metaimage(volume(WORDS), DimSize="37 23 0"), "none at all"),
    "MetaImage of words": (metaimage(volume(WORDS), DimSize="a b c"), "damaged"),
    "MetaImage larger than it is": (metaimage(volume(WORDS), DimSize="37 23 5"), "bytes of voxels"),
    "MetaImage, packed, larger than it is": (metaimage(volume(WORDS), packed=True, DimSize="37 23 5"), "end early"),
    "MetaImage without voxels": (metaimage(volume(WORDS))[:150], "no ElementDataFile"),
    "MetaImage, affine of NaN": (metaimage(volume(WORDS), ElementSpacing="nan 1 1"), "is no place in space"),
    "NRRD with a file of voxels": (
        nrrd_file(volume(WORDS), "raw").replace(b"\n\n", b"\ndata file: x.raw\n\n", 1), "voxels in another file",
    ),
    "NRRD of blocks": (nrrd_file(volume(WORDS), "raw").replace(b"type: uint16", b"type: block"), "'block' is not"),
    "NRRD cut": (nrrd_file(volume(WORDS), "gzip")[:-900], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_volumes_get_one_line(bad: tuple[bytes, str] | tuple[bytes, str, int | None]) -> None:
    data, says, *plane = bad
    assert says in refusal(data, *plane)


def test_bombs_cost_what_is_asked_for(tmp_path: Path) -> None:
    started = time.perf_counter()
    small = nifti(volume(WORDS), packed=False)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(small + BOMB, 1))  # 64 MB behind the voxels
    assert (formats.read(tmp_path / "a.nii.gz", plane=2).pixels == WORDS).all()
    whole = metaimage(volume(WORDS))
    end = whole.index(b"LOCAL\n") + 6
    header = whole[:end].replace(b"CompressedData = False", b"CompressedData = True")
    assert (formats.read(header + zlib.compress(whole[end:] + BOMB, 1), plane=2).pixels == WORDS).all()
    assert time.perf_counter() - started < 20


def test_a_series_of_frames_is_not_unpacked_again(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    path.write_bytes(frames(volume(WORDS), packed=True))
    assert formats.is_image(path)
    assert [int(formats.read(path, plane=plane).slope) for plane in range(4)] == [1, 2, 3, 4]


def test_own_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(WORDS.T[..., None], np.diag([-1.0, -1, 1, 1])), tmp_path / "a.nii.gz")
    assert (formats.read(tmp_path / "a.nii.gz").pixels == WORDS).all()
