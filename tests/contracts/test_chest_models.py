"""What both shipped models of chest X-rays promise: polarity and aspect ratio do not matter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.data import cases as reading
from bioseg.data import jsrt, shenzhen
from bioseg.data.pixels import Stored
from bioseg.evaluation.overlap import confusion, dice
from bioseg.inference.predictor import Predictor
from bioseg.types import Array, Mask


def resized(pixels: Array, rows: int, cols: int) -> Array:
    return np.asarray(Image.fromarray(pixels).resize((cols, rows), Image.Resampling.BILINEAR))


def back(mask: Mask, like: Array) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(like.shape[::-1], Image.Resampling.NEAREST))


@pytest.mark.data
@pytest.mark.parametrize("name", ["cxr-lungs", "cxr-lungs-all"])
class TestOneMask:
    def looked_at(self, archive) -> list[Stored]:
        cases = [*jsrt.list_cases(archive("jsrt"))[5::45], *shenzhen.list_cases(archive("shenzhen"))[5::45]]
        assert len(cases) == 10
        return [reading.read_picture(case) for case in cases]

    def test_whichever_way_the_greys_run(self, name: str, archive) -> None:
        predictor = Predictor.open(Path(name), "cpu")
        for stored in self.looked_at(archive):
            upright = predictor.predict(stored).mask
            assert 0.1 < upright.mean() < 0.6
            film = replace(stored, pixels=255 - stored.pixels)
            said = replace(film, inverted=True, white=255.0)
            for other in (film, said):  # found by looking; said by the header
                assert dice(confusion(predictor.predict(other).mask, upright)) > 0.995

    def test_squashed_or_in_true_aspect_or_in_a_frame(self, name: str, archive) -> None:
        predictor = Predictor.open(Path(name), "cpu")
        for stored in self.looked_at(archive):
            squashed = predictor.predict(stored).mask
            for rows, cols in ((600, 480), (430, 560)):
                true = predictor.predict(replace(stored, pixels=resized(stored.pixels, rows, cols))).mask
                assert dice(confusion(back(true, stored.pixels), squashed)) > 0.985
            narrow = resized(stored.pixels, 512, 400)
            framed = predictor.predict(replace(stored, pixels=np.pad(narrow, ((0, 0), (56, 56))))).mask
            assert dice(confusion(back(framed[:, 56:-56], stored.pixels), squashed)) > 0.95
