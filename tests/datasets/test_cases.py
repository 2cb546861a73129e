"""A case's truth from masks, boxes and contours, on its image's grid."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from bioseg.datasets import cases
from bioseg.types import Array, BiosegError, Box, Case, RawFormat

SHAPE = (30, 40)
DISC = (np.hypot(*np.mgrid[-15:15, -20:20]) < 9).astype(np.uint8)
LEFT, RIGHT = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
LEFT[4:20, 3:12], RIGHT[6:25, 20:33] = 255, 255


def write(path: Path, values: Array) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path, **({"quality": 70} if path.suffix == ".jpg" else {}))
    return path


def case(*masks: Path, **more: object) -> Case:
    return replace(Case("a", "a", Path("a.png"), masks), **more)  # type: ignore[arg-type]


SOFT = np.asarray(Image.fromarray(DISC * 255).resize((20, 15)).resize((40, 30)))
WAYS: dict[str, tuple[str, Array, Array]] = {  # file name, what it holds, its foreground
    "0/1": ("m.png", DISC, DISC > 0),
    "0/255": ("m.png", DISC * np.uint8(255), DISC > 0),
    "1-bit": ("m.png", DISC > 0, DISC > 0),
    "16-bit": ("m.png", DISC * np.uint16(65535), DISC > 0),
    "soft edges": ("m.png", SOFT, SOFT > 0),
    "RGB-saved grey": ("m.png", np.repeat(DISC[..., None] * np.uint8(255), 3, 2), DISC > 0),
    "one colour": ("m.png", DISC[..., None] * np.array([0, 0, 200], np.uint8), DISC > 0),
    "alpha everywhere": ("m.png", np.dstack([DISC, DISC, DISC, np.full_like(DISC, 255)]), DISC > 0),
    "JPEG, which rings": ("m.jpg", DISC * np.uint8(255), DISC > 0),
    "signed": ("m.tif", DISC.astype(np.int16) * 2 - 1, DISC > 0),
    "float": ("m.tif", DISC.astype(np.float32) / 3, DISC > 0),
    "empty": ("m.png", DISC * np.uint8(0), DISC > 1),
}


def test_covers_the_ways_masks_are_saved() -> None:
    assert len(WAYS) >= 12


@pytest.mark.parametrize(("name", "values", "foreground"), WAYS.values(), ids=WAYS.keys())
def test_a_mask_in_any_manner_is_the_same_mask(name: str, values: Array, foreground: Array, tmp_path: Path) -> None:
    path = write(tmp_path / name, values)
    mask = cases.read_mask(case(path), SHAPE)
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, foreground)
    labels = cases.read_labels(case(path), SHAPE)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, foreground.astype(int))


def test_masks_are_united_and_numbered_in_order(tmp_path: Path) -> None:
    over = np.maximum(RIGHT, np.roll(LEFT, 4, axis=1))
    parts = [write(tmp_path / f"{index}.png", values) for index, values in enumerate((LEFT, over, RIGHT))]
    assert np.array_equal(cases.read_mask(case(*parts), SHAPE), (LEFT | over) > 0)
    labels = cases.read_labels(case(*parts), SHAPE)
    assert np.array_equal(labels, np.where(LEFT, 1, np.where(over, 2, 0)))
    each = [part.mask for part in cases.each_part(case(*parts), SHAPE)]
    assert len(each) == 3
    assert np.array_equal(each[2], RIGHT > 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_an_image_of_labels_keeps_its_numbers(dtype: type, tmp_path: Path) -> None:
    values = np.where(LEFT, 7, np.where(RIGHT, 255, 0)).astype(dtype)
    path = write(tmp_path / ("m.tif" if dtype is np.int32 else "m.png"), values)
    labels = cases.read_labels(case(path), SHAPE)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, values)
    assert np.array_equal(cases.read_mask(case(path), SHAPE), values > 0)


def test_colours_are_labels_too_and_shades_are_not(tmp_path: Path) -> None:
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[LEFT > 0], colours[RIGHT > 0] = (0, 90, 7), (200, 0, 0)
    path = write(tmp_path / "m.png", colours)
    assert np.array_equal(cases.read_labels(case(path), SHAPE), np.where(LEFT, 1, np.where(RIGHT, 2, 0)))
    blurred = (gaussian_filter(np.kron(DISC, np.ones((4, 4))), 4) * 255).astype(np.uint8)  # with flat bands at its ends
    for index, shades in enumerate((SOFT, blurred)):
        assert len(np.unique(shades)) > 5
        path = write(tmp_path / f"{index}.png", shades)
        shape = (shades.shape[0], shades.shape[1])
        assert np.array_equal(cases.read_labels(case(path), shape), shades > 0)


def test_boxes_are_truncated_clipped_and_numbered() -> None:
    boxes = (Box(2.9, 5.2, 4.8, 3.9), Box(-3, 25, 8, 50), Box(38, -2, 9, 5))
    expected = np.zeros(SHAPE, int)
    expected[5:8, 2:6], expected[25:, :5], expected[:3, 38:] = 1, 2, 3
    assert np.array_equal(cases.read_labels(case(boxes=boxes), SHAPE), expected)
    assert np.array_equal(cases.read_mask(case(boxes=boxes), SHAPE), expected > 0)
    assert not cases.read_mask(case(boxes=()), SHAPE).any()
    outside = case(boxes=(Box(-9, -9, 4, 4), Box(99, 99, 4, 4)))
    assert not cases.read_mask(outside, SHAPE).any()


@given(radius=st.floats(3, 12), row=st.floats(12.5, 16.5), col=st.floats(12.5, 26.5))
def test_a_contour_is_filled_x_first(
    radius: float, row: float, col: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turns = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    path = tmp_path_factory.mktemp("contours") / "c.txt"
    path.write_text(
        "".join(f"{col + radius * math.cos(t):.3f} {row + radius * math.sin(t):.3f}\n" for t in turns) + "\n"
    )
    mask = cases.read_mask(case(path), SHAPE)
    distance = np.hypot(*(np.indices(SHAPE) - np.array([row, col])[:, None, None]))
    assert mask[distance < radius - 0.01].all()
    assert not mask[distance > radius + 0.01].any()


@pytest.mark.parametrize(
    "text", ["", "1 2\n3 4\n", "1 2 3\n4 5 6\n7 8 9\n", "x y\n1 2\n3 4\n5 6\n", "1 2\n3\n4 5\n", "1 2\nnan 3\n4 5\n"]
)
def test_a_text_that_is_no_contour(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(BiosegError, match=r"c\.txt: no contour; it needs .*x y"):
        cases.read_mask(case(tmp_path / "c.txt"), SHAPE)


def test_a_contour_in_another_encoding(tmp_path: Path) -> None:
    square = "3 3\n9 3\n9 9\n3 9\n"
    for name, content in {"plain": square.encode(), "marked": square.encode("utf-8-sig")}.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
        assert 36 <= cases.read_mask(case(tmp_path / f"{name}.txt"), SHAPE).sum() <= 49
    (tmp_path / "wide.txt").write_bytes(square.encode("utf-16"))
    with pytest.raises(BiosegError, match=r"wide\.txt: no contour; .* as UTF-8 text"):
        cases.read_mask(case(tmp_path / "wide.txt"), SHAPE)


def test_masks_that_are_no_files_are_refused_at_once(tmp_path: Path) -> None:
    for name in ("pipe.png", "pipe.txt"):
        os.mkfifo(tmp_path / name)
        for work in (cases.read_mask, cases.read_labels):
            with pytest.raises(BiosegError, match=rf"{name}: is a named pipe"):
                work(case(tmp_path / name), SHAPE)
    with pytest.raises(BiosegError, match=r"gone\.txt: no such file; check the path"):
        cases.read_mask(case(tmp_path / "gone.txt"), SHAPE)
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    write(path, LEFT)
    with pytest.raises(BiosegError, match=r"caf.\.png: is 30×40, its image") as raised:
        cases.read_mask(case(path), (9, 9))
    assert str(raised.value).encode("utf-8")


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.png", LEFT)
    labels = write(tmp_path / "l.png", LEFT // 255 + RIGHT // 100)
    for work, mask in ((cases.read_mask, path), (cases.read_labels, path), (cases.read_labels, labels)):
        for shape in ((60, 80), (40, 30), (30, 41), (10, 10)):
            with pytest.raises(
                BiosegError, match=rf"{mask.name}: is 30×40, its image a\.png {shape[0]}×{shape[1]}; .*grid"
            ):
                work(case(mask), shape)


def test_masks_of_a_headerless_image_may_be_coarser(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gif", LEFT)
    film = case(path, raw_format=RawFormat((60, 80), ">u2", 4095, inverted=True))
    assert np.array_equal(cases.read_mask(film, (60, 80)), np.kron(LEFT > 0, np.ones((2, 2), bool)))
    for shape in ((60, 40), (61, 80), (15, 20), (90, 80)):
        with pytest.raises(BiosegError, match="30×40"):
            cases.read_mask(film, shape)


def test_no_truth_and_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(BiosegError, match=r"a\.png: has neither mask nor boxes; "):
        cases.read_mask(case(), SHAPE)
    (tmp_path / "m.png").touch()
    for name in ("m.png", "gone.png", "gone.txt"):
        with pytest.raises(BiosegError, match=name):
            cases.read_mask(case(tmp_path / name), SHAPE)


def test_an_images_spacing_is_its_own_or_its_cases(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", LEFT)
    assert cases.read_image(Case("a", "a", path)).spacing_mm is None
    assert cases.read_image(Case("a", "a", path, spacing_mm=(0.175, 0.2))).spacing_mm == (0.175, 0.2)
    (tmp_path / "a.IMG").write_bytes(LEFT.astype(">u2").tobytes())
    film = Case("a", "a", tmp_path / "a.IMG", raw_format=RawFormat(SHAPE, ">u2", 4095, inverted=True))
    raw_image = cases.read_image(film)
    assert np.array_equal(raw_image.pixels, LEFT)
    assert raw_image.inverted


@pytest.mark.data
def test_real_contours_agree_with_masks_made_from_them(archive: Callable[[str], Path]) -> None:
    contours = archive("sunnybrook-dicom")
    (link,) = contours.rglob("link.csv")
    originals = dict(line.split(",") for line in link.read_text().split()[1:])
    agreed = []
    for png in archive("lv_deeplearning").rglob("*.png"):
        patient, number = png.stem.split("_")
        for text in contours.rglob(f"{originals[patient]}/i-contours/IM-0001-{number}-icontour-*.txt"):
            drawn, filled = (cases.read_mask(case(path), (256, 256)) for path in (png, text))
            agreed.append(2 * (drawn & filled).sum() / (drawn.sum() + filled.sum()))
    assert len(agreed) == 80
    assert np.mean(agreed) > 0.98


@pytest.mark.data
def test_real_nuclei_are_as_many_as_their_files(archive: Callable[[str], Path]) -> None:
    folders = sorted(path.parent for path in archive("stage1_train").rglob("masks"))[:10]
    assert len(folders) == 10
    for folder in folders:
        (image,) = (folder / "images").iterdir()
        whole = Case(folder.name, folder.name, image, tuple(sorted((folder / "masks").iterdir())))
        shape = cases.read_image(whole).pixels.shape[:2]
        labels = cases.read_labels(whole, (shape[0], shape[1]))
        assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(whole.masks) + 1))
        assert np.array_equal(labels > 0, cases.read_mask(whole, (shape[0], shape[1])))
