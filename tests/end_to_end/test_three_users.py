"""Three users' ways from the tutorials alone: a student, a clinic, an engineer. What the pages promise is in the files."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest
import roifile
from pydicom import dcmread
from skimage.draw import polygon2mask

import bioseg
from tests.docs.test_snippets import ROOT, blocks, commands, prepared, reduced, run, workspace, write_files
from tests.docs.workspace import TINY

__all__ = ["prepared", "workspace"]  # fixtures

pytestmark = pytest.mark.slow


def follow(page: str, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of a tutorial, on small networks."""
    write_files(ROOT / "docs" / "tutorial" / page)
    for line in commands(ROOT / "docs" / "tutorial" / page):
        assert run(reduced(shlex.split(line)[1:]), prepared, monkeypatch) == 0, line


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_student_gets_regions_that_lie_in_the_image_s_place(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow("cells-to-rois.md", prepared, monkeypatch)
    assert (workspace / "my-labelme.html").stat().st_size > 10_000
    model = bioseg.load("runs/cells")
    images = sorted((workspace / "new-images" / "images").iterdir())
    assert len(table(workspace / "regions" / "measurements.csv")) == len(images) == 3
    for image in images:
        mask = model.predict(image).mask
        drawn = np.zeros(mask.shape, bool)
        path = workspace / "regions" / f"{image.stem}.rois.zip"
        for roi in roifile.roiread(path) if mask.any() else ():
            for ring in [roi.coordinates()] if roi.multi_coordinates is None else roi.coordinates(multi=True):
                drawn ^= polygon2mask(mask.shape, ring[:, ::-1] - 0.5)
        assert np.array_equal(drawn, mask)


def test_a_clinic_gets_segmentations_and_a_table_by_patient(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow("clinic-study.md", prepared, monkeypatch)
    images = table(workspace / "lungs" / "measurements.csv")
    patients = table(workspace / "lungs" / "measurements_by_patient.csv")
    assert {row["patient"] for row in images} == {row["patient"] for row in patients}
    assert sum(int(row["images"]) for row in patients) == len(images) > 1
    segs = sorted((workspace / "lungs").rglob("*.seg.dcm"))
    assert segs
    known = {row["sop_uid"] for row in images}
    for path in segs:
        seg = dcmread(path)
        used = {one.ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert used <= known
    assert (workspace / "lungs" / "anatomy.csv").exists()


def test_an_engineer_s_network_is_trained_reopened_and_exported(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "tutorial" / "own-network.md"
    write_files(page)
    bioseg.train("stains.py", "plates", "runs/stains", folds=2, settings=TINY[:1], allow_code=True)
    names = ["live", "dividing", "dead"]
    image = workspace / "plates" / "images" / "plate-0.ome.tif"
    found = bioseg.load("runs/stains", allow_code=True).predict(image)
    assert list(found.classes) == names
    follow("own-network.md", prepared, monkeypatch)
    exported = bioseg.load("stains.bioseg").predict(image)
    for name in names:
        apart = found.classes[name].probability - exported.classes[name].probability
        assert abs(apart).max() < 1e-4
    rows = table(workspace / "plate-masks" / "class_measurements.csv")
    assert [row["class"] for row in rows[:3]] == names
    assert len(rows) == 18
    assert len(blocks(page, "python")) == 2
