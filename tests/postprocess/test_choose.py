import numpy as np

from bioseg.postprocess import choose
from bioseg.postprocess.boxes import Boxes, find_boxes
from bioseg.postprocess.choose import Example
from bioseg.postprocess.instances import Instances
from bioseg.postprocess.masks import Postprocess


def example(labels: np.ndarray, boxes: tuple = (), **outputs: np.ndarray) -> Example:
    return Example(
        {name: plane.astype(np.float16) for name, plane in outputs.items()},
        labels.astype(np.int32),
        boxes,
        labels[None] > 0,
    )


def test_the_threshold_that_fits() -> None:
    truth = np.zeros((20, 20), np.int32)
    truth[5:15, 5:15] = 1
    faint = 0.33 * truth + 0.27 * (truth == 0)  # only .30 separates the two
    examples = [example(truth, foreground=faint)] * 3
    assert choose.threshold(examples, Postprocess()).threshold == 0.3
    assert choose.threshold(examples, Postprocess(keep_largest=2)).keep_largest == 2


def test_markers_that_separate_touching_objects() -> None:
    truth = np.zeros((20, 40), np.int32)
    truth[5:15, 5:20], truth[5:15, 20:35] = 1, 2
    marker = np.zeros(truth.shape)
    marker[8:12, 8:32] = 0.55  # a bridge between the two, which a threshold of .6 cuts
    marker[8:12, 8:16] = marker[8:12, 24:32] = 0.9
    chosen = choose.objects([example(truth, foreground=truth > 0, marker=marker)], Postprocess(instances=Instances()))
    assert chosen.instances is not None
    assert chosen.instances.marker_threshold == 0.6


def test_minimal_presence_and_shrinkage_of_boxes() -> None:
    wide = np.zeros((100, 100))
    wide[20:60, 20:60] = 0.9
    small = np.zeros((100, 100), np.int32)
    small[26:54, 26:54] = 1  # 70 % of each side, so that the most shrinkage fits best
    true = find_boxes(small > 0, small.astype(np.float32), Boxes())
    ill = example(small, true, foreground=wide, presence=np.full((100, 100), 0.8))
    well = example(small * 0, (), foreground=wide, presence=np.full((100, 100), 0.3))
    chosen = choose.boxes([ill, well], Postprocess(boxes=Boxes()))
    assert chosen.boxes is not None
    assert chosen.boxes.min_presence == 0.35
    assert chosen.boxes.shrink == 0.15
