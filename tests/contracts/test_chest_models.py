"""The contract of both pretrained chest X-ray models: polarity and aspect ratio do not matter."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import cases as reading
from bioseg.datasets.layouts import jsrt, shenzhen
from bioseg.evaluation.overlap import confusion, dice
from bioseg.images.formats import RawImage
from bioseg.pipelines.open import open_predictor
from bioseg.types import Array, Mask


def resized(pixels: Array, rows: int, cols: int) -> Array:
    return np.asarray(Image.fromarray(pixels).resize((cols, rows), Image.Resampling.BILINEAR))


def back(mask: Mask, like: Array) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(like.shape[::-1], Image.Resampling.NEAREST))


@pytest.mark.data
@pytest.mark.parametrize("name", [pytest.param("cxr-lungs", marks=pytest.mark.slow), "cxr-lungs-all"])
class TestOneMask:
    def images(self, archive) -> list[RawImage]:
        cases = [*jsrt.list_cases(archive("jsrt"))[5::45], *shenzhen.list_cases(archive("shenzhen"))[5::45]]
        assert len(cases) == 10
        return [reading.read_image(case) for case in cases]

    def test_whichever_way_the_greys_run(self, name: str, archive) -> None:
        predictor = open_predictor(name, "cpu")
        for raw_image in self.images(archive):
            upright = predictor.predict(raw_image).mask
            assert 0.1 < upright.mean() < 0.6
            film = replace(raw_image, pixels=255 - raw_image.pixels)
            said = replace(film, inverted=True, white=255.0)
            for other in (film, said):  # found from the pixels; said by the header
                assert dice(confusion(predictor.predict(other).mask, upright)) > 0.995

    @pytest.mark.slow
    def test_squashed_or_in_true_aspect_or_in_a_frame(self, name: str, archive) -> None:
        predictor = open_predictor(name, "cpu")
        for raw_image in self.images(archive):
            squashed = predictor.predict(raw_image).mask
            for rows, cols in ((600, 480), (430, 560)):
                true = predictor.predict(replace(raw_image, pixels=resized(raw_image.pixels, rows, cols))).mask
                assert dice(confusion(back(true, raw_image.pixels), squashed)) > 0.985
            narrow = resized(raw_image.pixels, 512, 400)
            framed = predictor.predict(replace(raw_image, pixels=np.pad(narrow, ((0, 0), (56, 56))))).mask
            assert dice(confusion(back(framed[:, 56:-56], raw_image.pixels), squashed)) > 0.95
