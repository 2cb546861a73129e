"""Every layout is found, read and refused as the others are; on phantoms, and on the real archives where they are."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bioseg.datasets import cases, folders, phantom_layouts
from bioseg.datasets.layouts import (
    belarus,
    cardiac_lv,
    chest_xrays,
    ct_lungs,
    jsrt,
    montgomery,
    nnunet,
    nuclei,
    rsna,
    shenzhen,
)
from bioseg.images import formats  # fmt: skip
from bioseg.types import BiosegError, Case

Write = Callable[..., None]
# Layout, its phantom's writer, cases of six phantoms, their patients (each image, where unknown), least mask files per case,
# side in px.
LAYOUTS: list[tuple[ModuleType, Write, int, int, int, int]] = [
    (montgomery, phantom_layouts.write_montgomery, 6, 6, 2, 48),
    (jsrt, phantom_layouts.write_jsrt, 6, 6, 2, 2048),
    (shenzhen, phantom_layouts.write_shenzhen, 6, 6, 1, 48),
    (belarus, phantom_layouts.write_belarus, 6, 6, 1, 48),
    (chest_xrays, phantom_layouts.write_chest_xrays, 6, 6, 1, 48),
    (ct_lungs, phantom_layouts.write_ct_lungs, 6, 3, 1, 48),
    (rsna, phantom_layouts.write_rsna, 6, 6, 0, 64),
    (cardiac_lv, phantom_layouts.write_cardiac_lv, 7, 1, 1, 64),
    (cardiac_lv, phantom_layouts.write_sunnybrook, 6, 2, 1, 64),
    (nuclei, phantom_layouts.write_nuclei, 6, 6, 2, 48),
    (folders, phantom_layouts.write_images_masks, 6, 6, 1, 48),
    (folders, phantom_layouts.write_suffixes, 6, 6, 1, 48),
    (folders, phantom_layouts.write_label_images, 6, 6, 1, 48),
    (jsrt, phantom_layouts.write_organs, 6, 6, 2, 48),
    (nnunet, phantom_layouts.write_nnunet, 6, 6, 1, 48),
]
NAMES = [f"{module.__name__.split('.')[-1]}-{write.__name__}" for module, write, *_ in LAYOUTS]
ARCHIVES: list[tuple[ModuleType, str, int, int]] = [
    (montgomery, "montgomery", 138, 138),
    (jsrt, "jsrt", 187, 187),
    (shenzhen, "shenzhen", 200, 200),
    (nuclei, "stage1_train", 440, 440),
    (ct_lungs, "finding-lungs", 160, 160),
    (cardiac_lv, "lv_deeplearning", 80, 5),
    (cardiac_lv, "sunnybrook-dicom", 96, 5),
    (cardiac_lv, "sunnybrook-png", 526, 30),
    (rsna, "rsna-sample", 15, 15),
    (folders, "opacity", 33, 33),
]


def test_every_layout_has_a_phantom() -> None:
    written = {write for _, write, *_ in LAYOUTS}
    assert written == {getattr(phantom_layouts, name) for name in dir(phantom_layouts) if name.startswith("write_")}
    assert {module.list_cases for module, *_ in LAYOUTS} >= set(folders.KNOWN.values())


def check(found: list[Case], count: int, patients: int) -> None:
    assert len(found) == count
    assert [case.id for case in found] == sorted({case.id for case in found})
    assert len({case.group for case in found}) == patients
    assert all(case.has_truth and case.source for case in found)


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_a_phantom_is_found_and_read(layout: tuple[ModuleType, Write, int, int, int, int], tmp_path: Path) -> None:
    module, write, count, patients, parts, side = layout
    write(tmp_path, count=6, seed=3, size_px=side)
    found = module.list_cases(tmp_path)
    check(found, count, patients)
    assert all(len(case.masks) >= parts for case in found)
    areas = []
    for case in found[:3]:
        raw_image = cases.read_image(case)
        shape = raw_image.pixels.shape[:2]
        assert shape == formats.size(case.path, case.raw_format)
        mask = cases.read_mask(case, shape)
        areas.append(mask.mean())
        # Truth lies where the image differs: inside and outside do not look alike.
        if mask.any():
            values = (
                raw_image.pixels[..., :3].mean(axis=-1)
                if raw_image.pixels.ndim == 3
                else raw_image.pixels.astype(float)
            )
            assert abs(values[mask].mean() - values[~mask].mean()) > 0.1 * values.std()
    assert module is rsna or min(areas) > 0.005
    assert max(areas) < 0.7


@pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
def test_the_same_seed_the_same_files(layout: tuple[ModuleType, Write, int, int, int, int], tmp_path: Path) -> None:
    _, write, *_, side = layout
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, count=1, seed=seed, size_px=min(side, 64))

    def contents(name: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]

    assert contents("a") == contents("b") != contents("c")


@pytest.mark.parametrize(
    "module",
    sorted({module for module, *_ in LAYOUTS}, key=lambda module: module.__name__),
    ids=lambda module: module.__name__,
)
def test_a_folder_of_another_kind_is_refused_by_name(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear all")
    with pytest.raises(BiosegError, match=tmp_path.name):
        module.list_cases(tmp_path)


def test_rsna_boxes_and_jsrt_bits(tmp_path: Path) -> None:
    phantom_layouts.write_rsna(tmp_path / "r", count=12, seed=0, size_px=64)
    found = rsna.list_cases(tmp_path / "r")
    boxes = [case.boxes for case in found]
    assert () in boxes
    assert any(len(own or ()) > 0 for own in boxes)
    hit = next(case for case in found if case.boxes)
    mask = cases.read_mask(hit, (64, 64))
    box = hit.boxes[0] if hit.boxes else None
    assert box
    assert mask[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)].all()
    (tmp_path / "r" / "stage_2_train_labels.csv").write_text("patientId,x\na,1\n")
    with pytest.raises(BiosegError, match=r"stage_2_train_labels\.csv"):
        rsna.list_cases(tmp_path / "r")

    phantom_layouts.write_jsrt(tmp_path / "j", count=1, seed=0, size_px=2048)
    case = jsrt.list_cases(tmp_path / "j")[0]
    raw_image = cases.read_image(case)
    assert (raw_image.inverted, raw_image.white, raw_image.spacing_mm) == (True, 4095, (0.175, 0.175))
    assert raw_image.pixels.max() <= 4095


@pytest.mark.data
@pytest.mark.parametrize("real", ARCHIVES, ids=lambda real: f"{real[0].__name__.split('.')[-1]}-{real[1]}")
def test_the_real_archive(real: tuple[ModuleType, str, int, int], archive: Callable[[str], Path]) -> None:
    module, name, count, patients = real
    folder = archive(name)
    found = module.list_cases(folder)
    check(found, count, patients)
    for case in found[:: max(1, count // 3)]:
        shape = cases.read_image(case).pixels.shape[:2]
        mask = cases.read_mask(case, shape)
        assert 0.001 < mask.mean() < 0.7 or case.boxes == ()
    scan = folders.scan(folder)
    assert len(scan.cases) == count
    assert not scan.without_image
    assert np.all([case.has_truth for case in scan.cases])
    assert sorted(case.path for case in scan.cases) == sorted(case.path for case in found)
    assert (scan.patients_from == "unknown") == (name in ("stage1_train", "opacity"))
