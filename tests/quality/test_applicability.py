"""What a model was not trained on is flagged in words, by header and by values; what it was trained on is not."""

import io
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg import files
from bioseg.images.formats import Acquisition, RawImage, read
from bioseg.images.prepare import Preparation, fixed_window
from bioseg.inference import pretrained
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.predict import find_images, predict
from bioseg.postprocess.masks import Prediction
from bioseg.quality.applicability import EMPTY, Applicability, Interval, measure_image, measure_mask
from bioseg.quality.fit_applicability import fit_applicability
from bioseg.record import APPLICABILITY, decode, encode, read_spec
from bioseg.specs import call
from bioseg.types import BiosegError, Callbacks, Case
from tests.clinic_folder import AXIAL, dicom
from tests.foreign_images import FOREIGN
from tests.pipelines.models import small_predictor

HOW = Preparation((32, 32), intensity=(call(fixed_window, low=-1000.0, high=400.0),))
UNUSUAL = ("ct-lungs", "cardiac-lv", "nuclei")
"""Pretrained models without a quality model."""


@cache
def opened(name: str) -> Predictor:
    return open_predictor(name, "cpu")


def reasons(meant: Applicability, acquisition: Acquisition | None = None, *, share: float = 0.25) -> tuple[str, ...]:
    mask = np.arange(400).reshape(20, 20) < 400 * share
    raw_image = RawImage(np.full((20, 20), 7, np.int16), acquisition=acquisition)
    return meant.reasons(raw_image, np.full((1, 32, 32), 0.5, np.float32), Prediction(mask, mask.astype("f4")), HOW)


class TestHeader:
    MEANT = Applicability(("CT",), ("CHEST", "THORA"), ("AXIAL",))

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (Acquisition("DX"), ("DX given, trained on CT",)),
            (Acquisition("CT", "ABDOMEN"), ("body part ABDOMEN, trained on CHEST",)),
            (Acquisition("CT", "CHEST_TO_PELVIS", "AXIAL"), ()),
            (Acquisition("CT", "THORAX", "CORONAL"), ("view CORONAL, trained on AXIAL",)),
            (Acquisition("OT"), ()),
            (Acquisition(), ()),
            (None, ()),
        ],
    )
    def test_what_does_not_fit_is_said(self, given: Acquisition | None, said: tuple[str, ...]) -> None:
        assert reasons(self.MEANT, given) == said
        assert reasons(Applicability(), given) == ()

    def test_it_is_read_with_the_image(self) -> None:
        made = dicom(BodyPartExamined="chest ", ImageOrientationPatient=list(AXIAL))
        assert read(made).acquisition == Acquisition("CT", "CHEST", "AXIAL")
        assert read(dicom(ViewPosition="PA", Modality="DX")).acquisition == Acquisition("DX", "", "PA")
        assert read(dicom(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])).acquisition == Acquisition("CT", "", "CORONAL")
        assert read(dicom(ImageOrientationPatient=[0.0] * 6)).acquisition == Acquisition("CT")
        content = io.BytesIO()
        Image.new("L", (4, 4)).save(content, "PNG")
        assert read(content.getvalue()).acquisition is None


class TestRanges:
    def test_each_side_has_its_words_and_the_farthest_off_comes_first(self) -> None:
        ranges = (Interval("median", 0.6, 0.7), Interval("lowest", -1100, -500), Interval("area", -9.0, 0.0))
        assert reasons(Applicability(ranges=ranges)) == (
            "image darker than in training", "no values as low as those trained on",
        )  # fmt: skip
        assert reasons(Applicability(ranges=(Interval("area", -1.0, 0.0),))) == ("area smaller than in training",)

    def test_an_empty_mask(self) -> None:
        ranges = (Interval("area", -9.0, 0.0), Interval("count", 0.0, 1.0), Interval("certainty", 0.9, 1.0))
        assert reasons(Applicability(may_be_empty=False, ranges=ranges), share=0) == (EMPTY,)
        assert reasons(Applicability(ranges=ranges), share=0) == ()

    def test_measures(self) -> None:
        pixels = np.zeros((10, 10), np.int16)
        pixels[:, 5:] = 400
        image = ((pixels[None] + 1000) / 1400).astype(np.float32)
        found = measure_image(RawImage(pixels, slope=2.0, intercept=-1000.0), image, replace(HOW, size_px=(10, 10)))
        assert (found["lowest"], found["highest"]) == (-1000, -200)
        assert found["dark"] == pytest.approx(1 / 1.4) and found["bright"] == pytest.approx(1.0)
        step = 0.4 / 1.4 / 9  # one of nine differences along a row, none along a column
        assert found["texture"] == pytest.approx(step / 2 / found["contrast"])
        mask = np.zeros((10, 10), bool)
        mask[0, 0] = mask[5:7, 5:7] = True
        assert measure_mask(mask, None, HOW)["count"] == pytest.approx(np.log(3))
        patches = replace(HOW, fit="patches")
        assert measure_mask(mask, mask * np.int32(4), patches)["count"] == pytest.approx(np.log1p(100))

    def test_invalid_ones_are_refused_and_a_file_gives_the_same(self) -> None:
        for measure, low, high in (("volume", 0, 1), ("area", 2, 1), ("area", float("nan"), 1)):
            with pytest.raises(BiosegError):
                Interval(measure, low, high)
        meant = Applicability(("CT",), may_be_empty=False, ranges=(Interval("area", -2.0, 0.0),))
        assert decode(encode(meant), "x") == meant


def test_a_new_model_learns_modality_and_ranges_from_its_training_images(tmp_path: Path) -> None:
    cases = []
    for number in range(6):
        files.write(tmp_path / f"{number}.dcm", dicom(number=number, Modality="DX"))
        mask = np.zeros((20, 24), np.uint8)
        mask[5:10, 5 : 12 + number] = 255
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
        cases.append(Case(str(number), "", tmp_path / f"{number}.dcm", (tmp_path / f"{number}.png",)))
    broken = Case("broken", "", tmp_path / "no.dcm", (tmp_path / "no.png",))
    predictor = small_predictor()
    meant = fit_applicability(predictor, [*cases, broken], [*cases[:2], broken])
    assert meant.modalities == ("CR", "DX", "RG") and not meant.may_be_empty
    noise = RawImage(np.random.default_rng(9).integers(0, 255, (20, 24)).astype(np.uint8))
    flat = RawImage(np.zeros((20, 24), np.uint8))
    taught = replace(predictor, applicability=meant)
    assert not {"image smoother than in training", "less contrast than in training"} & {*taught.predict(noise).flags}
    assert "bright parts darker than in training" in taught.predict(flat).flags
    assert predictor.predict(flat).flags == ()
    assert fit_applicability(predictor, [], []) == Applicability()


class TestPretrained:
    @pytest.mark.parametrize("name", pretrained.names())
    def test_each_says_what_it_is_meant_for(self, name: str, tmp_path: Path) -> None:
        meant = read_spec(pretrained.find(name), APPLICABILITY, Applicability)
        assert meant.modalities and not meant.may_be_empty
        assert bool(meant.ranges) == (name in UNUSUAL)
        assert (pretrained.find(name) / APPLICABILITY).stat().st_size < 3000

    @pytest.mark.parametrize("image", ["black", "noise", "cat"])
    @pytest.mark.parametrize("name", UNUSUAL)
    def test_what_is_of_another_kind_is_flagged(self, name: str, image: str) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
        assert opened(name).predict(RawImage(noise if image == "noise" else FOREIGN[image](64))).reasons

    def test_a_radiograph_or_an_8_bit_png_for_ct_lungs_is_to_review(self, tmp_path: Path) -> None:
        pixels = FOREIGN["lateral"](64)
        files.write(tmp_path / "in" / "dx.dcm", dicom(pixels, Modality="DX", BodyPartExamined="CHEST"))
        Image.fromarray(pixels).save(tmp_path / "in" / "grey.png")
        said = list[str]()
        images = find_images([tmp_path / "in"])
        assert predict(opened("ct-lungs"), images, tmp_path / "out", callbacks=Callbacks(log=said.append)) == (2, [])
        assert said[-1] == f"2 of 2 images segmented in {tmp_path / 'out'}, 2 to review"
        assert f"flag: DX given, trained on CT: {tmp_path / 'in' / 'dx.dcm'}" in said
        assert any(line.startswith("flag: no values as low as those trained on: ") for line in said)

    def test_another_file_than_the_record_names_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(pretrained.find("ct-lungs"), tmp_path / "ct-lungs")
        monkeypatch.setattr(pretrained, "ROOT", tmp_path)
        (tmp_path / "ct-lungs" / APPLICABILITY).unlink()
        with pytest.raises(BiosegError, match=r"applicability\.json: SHA-256"):
            open_predictor("ct-lungs", "cpu")
