"""Images given as a pydicom data set are those of its file."""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from bioseg.datasets import phantom_layouts
from bioseg.images.formats import UnreadableImage, read, to_raw_image
from tests.outputs.segmented_images import ct_slice
from tests.pipelines.models import small_predictor

JPEG = phantom_layouts.dicom_bytes(np.full((16, 24), 90, np.uint8), spacing_mm=(0.1, 0.2), jpeg=True)


@pytest.mark.parametrize("content", [ct_slice(), JPEG], ids=["CT", "JPEG"])
def test_a_data_set_is_read_as_its_file_and_left_alone(content: bytes) -> None:
    dataset = dcmread(io.BytesIO(content))
    before = copy.deepcopy(dataset)
    found, expected = to_raw_image(dataset), read(content)
    assert (found.pixels == expected.pixels).all() and found.pixels.dtype == expected.pixels.dtype
    assert (found.spacing_mm, found.slope, found.intercept) == (
        expected.spacing_mm,
        expected.slope,
        expected.intercept,
    )
    assert dataset == before and dataset.file_meta == before.file_meta


def test_a_data_set_of_the_network_has_no_file_meta() -> None:
    dataset = dcmread(io.BytesIO(ct_slice()))
    del dataset.file_meta
    assert (to_raw_image(dataset).pixels == read(ct_slice()).pixels).all()


def test_predictions_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(ct_slice())
    model = small_predictor()
    expected, found = model.predict(tmp_path / "a.dcm"), model.predict(dcmread(DicomBytesIO(ct_slice())))
    assert (found.probability == expected.probability).all() and (found.mask == expected.mask).all()


def test_what_is_no_image_is_one_line() -> None:
    for value, words in (
        (Dataset(), "image given as a data set: damaged or cut short"),
        (dcmread(io.BytesIO(ct_slice()), stop_before_pixels=True), "image given as a data set: a DICOM file without pixels"),
        (5, "image given as a data set: is none, of type int; give a path, bytes, a NumPy array or a pydicom data set"),
    ):  # fmt: skip
        with pytest.raises(UnreadableImage) as refused:
            to_raw_image(value)  # type: ignore[arg-type]
        assert words in str(refused.value) and "\n" not in str(refused.value)
