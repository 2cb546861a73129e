import numpy as np
import pytest
from scipy import ndimage

from bioseg.datasets.targets import marker
from bioseg.postprocess.boxes import Boxes, bounding_box, find_boxes
from bioseg.postprocess.instances import Instances, find_objects
from bioseg.postprocess.masks import Postprocess, finish
from bioseg.types import Box


def discs(*centres: tuple[int, int], radius: int = 8, size: int = 60) -> list[np.ndarray]:
    rows, cols = np.mgrid[:size, :size]
    return [(rows - r) ** 2 + (cols - c) ** 2 <= radius**2 for r, c in centres]


class TestMarkers:
    def test_every_object_has_one_marker_and_touching_ones_are_separated(self) -> None:
        labels = np.zeros((60, 60), np.int32)
        for number, disc in enumerate(discs((20, 20), (20, 34), (50, 50), radius=8), 1):
            labels[disc] = number
        labels[0, 0] = 9  # one pixel
        inner = marker(labels)
        assert ndimage.label(inner)[1] == 4
        assert not (inner & (labels == 0)).any()
        assert all(0 < (inner & (labels == n)).sum() <= (labels == n).sum() for n in (1, 2, 3, 9))
        assert 0.2 < (inner & (labels == 3)).sum() / (labels == 3).sum() < 0.5

    def test_a_larger_share_is_a_smaller_marker(self) -> None:
        labels = discs((30, 30), radius=20)[0].astype(np.int32)
        assert marker(labels, share=0.8).sum() < marker(labels, share=0.4).sum() < marker(labels, share=0.0).sum() + 1


class TestObjects:
    def test_touching_discs_are_separated(self) -> None:
        a, b = discs((25, 20), (25, 34))
        mask = a | b
        seeds = sum(discs((25, 20), (25, 34), radius=3)).astype(np.float32)
        found = find_objects(mask, seeds, Instances())
        assert found.max() == 2
        assert ((found > 0) == mask).all()
        assert found[25, 20] != found[25, 34]

    def test_a_component_without_a_marker_is_one_object_and_specks_are_removed(self) -> None:
        a, b = discs((15, 15), (45, 45))
        speck = np.zeros((60, 60), bool)
        speck[5:7, 50:53] = True
        found = find_objects(a | b | speck, a.astype(np.float32), Instances(min_area_px=7))
        assert found.max() == 2
        assert not found[speck].any()
        assert found[b].min() == found[b].max() > 0

    def test_numbers_have_no_gaps_and_nothing_gives_nothing(self) -> None:
        assert find_objects(np.zeros((9, 9), bool), np.zeros((9, 9), np.float32), Instances()).max() == 0
        some = sum(discs((10, 10), (30, 30), (50, 50), radius=4))
        found = find_objects(some > 0, some.astype(np.float32), Instances())
        assert np.unique(found).tolist() == [0, 1, 2, 3]


class TestBoxes:
    def test_box_and_confidence(self) -> None:
        probability = np.zeros((50, 80), np.float32)
        probability[10:20, 30:60] = 0.8
        probability[10, 30] = 0.6
        (box,) = find_boxes(probability > 0.5, probability, Boxes())
        assert (box.x, box.y, box.width, box.height) == (30, 10, 30, 10)
        assert box.confidence == pytest.approx((0.8 * 299 + 0.6) / 300)

    def test_components_touching_at_a_corner_are_one(self) -> None:
        mask = np.zeros((10, 10), bool)
        mask[1:3, 1:3] = mask[3:5, 3:5] = True
        assert [(b.x, b.width) for b in find_boxes(mask, mask.astype(np.float32), Boxes())] == [(1, 4)]

    def test_highest_confidence_first_minimal_area_minimal_presence_and_shrinkage(self) -> None:
        probability = np.zeros((100, 100), np.float32)
        probability[:20, :20], probability[50:60, 50:90], probability[90:92, 0:2] = 0.6, 0.9, 1.0
        mask = probability > 0.5
        found = find_boxes(mask, probability, Boxes(min_area=0.001))
        assert [round(box.confidence, 2) for box in found] == [0.9, 0.6]
        assert find_boxes(mask, probability, Boxes(min_presence=0.5), presence=0.49) == ()
        assert len(find_boxes(mask, probability, Boxes(min_presence=0.5), presence=0.5)) == 3
        assert bounding_box((50, 50, 60, 90), shrink=0.1) == Box(52, 50.5, 36, 9)

    def test_presence_is_the_output_for_the_whole_image(self) -> None:
        foreground = np.full((10, 10), 0.9, np.float32)
        how = Postprocess(boxes=Boxes(min_presence=0.5))
        assert finish({"foreground": foreground, "presence": foreground * 0 + 0.4}, how).boxes == ()
        assert len(finish({"foreground": foreground, "presence": foreground * 0 + 0.6}, how).boxes or ()) == 1
        assert len(finish({"foreground": foreground}, how).boxes or ()) == 1


def test_never_empty() -> None:
    faint = np.zeros((10, 10), np.float32)
    faint[2:4, 2:4], faint[7, 7] = 0.3, 0.1
    assert not finish({"foreground": faint}, Postprocess()).mask.any()
    assert finish({"foreground": faint}, Postprocess(never_empty=True)).mask.sum() == 4
