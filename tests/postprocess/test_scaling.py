"""Time and memory of what follows the network are proportional to the pixels: one 3000×3000 image once took minutes."""

import cProfile
import pstats
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from bioseg.datasets import phantoms
from bioseg.images.formats import RawImage
from bioseg.outputs.measure import measure, measure_objects
from bioseg.postprocess.boxes import Boxes
from bioseg.postprocess.instances import Instances
from bioseg.postprocess.masks import Postprocess, Prediction, finish
from bioseg.types import Probability

HOW = {
    "objects": Postprocess(min_object=1e-6, max_hole=1e-6, instances=Instances()),
    "boxes": Postprocess(boxes=Boxes()),
    "mask": Postprocess(min_object=1e-5, max_hole=1e-4, keep_largest=2),
}


def nuclei(repeats: int) -> tuple[dict[str, Probability], RawImage]:
    """Some nuclei, and the same again ``repeats`` × ``repeats`` times: as many times the pixels and the objects."""
    pixels, labels = phantoms.nuclei(np.random.default_rng(2), 256)
    planes = np.where(labels > 0, 0.9, 0.1).astype(np.float32), np.where(labels % 2 == 1, 0.8, 0.2).astype(np.float32)
    foreground, marker = (np.tile(plane, (repeats, repeats)) for plane in planes)
    return {"foreground": foreground, "marker": marker}, RawImage(np.tile(pixels, (repeats, repeats, 1)), (0.5, 0.5))


def follow(outputs: dict[str, Probability], raw_image: RawImage, how: Postprocess) -> Prediction:
    found = finish(outputs, how)
    measure(found, raw_image)
    if found.labels is not None:
        measure_objects(found.labels, raw_image)
    return found


def calls(work: Callable[[], object]) -> int:
    """Python calls: the same on a busy machine as on an idle one."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", HOW)
def test_four_times_the_pixels_take_about_four_times_the_work(name: str) -> None:
    small, large = nuclei(2), nuclei(4)
    found = [follow(*one, HOW[name]) for one in (small, large)]
    if name == "objects":
        counts = [one.labels.max() for one in found if one.labels is not None]
        assert counts[0] >= 20 and counts[1] >= 3.5 * counts[0]
    few, many = (calls(lambda one=one: follow(*one, HOW[name])) for one in (small, large))  # type: ignore[misc]
    assert many < 5 * few
    times = []
    for one in (small, large):
        seconds = []
        for _ in range(3):
            started = time.process_time()
            follow(*one, HOW[name])
            seconds.append(time.process_time() - started)
        times.append(min(seconds))
    assert times[1] < 10 * times[0] + 0.05, "what is quadratic takes 16 times as long"


def test_memory_is_proportional_too() -> None:
    peaks = []
    for repeats in (2, 4):
        outputs, raw_image = nuclei(repeats)
        tracemalloc.start()
        try:
            follow(outputs, raw_image, HOW["objects"])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0]
    assert peaks[1] < 150 * 1024**2


def test_one_object_as_large_as_the_image_is_no_exception() -> None:
    times = []
    for side in (512, 1024):
        whole = np.full((side, side), 0.9, np.float32)
        whole[:, :: side // 8] = 0.1
        started = time.process_time()
        follow({"foreground": whole, "marker": whole}, RawImage(np.zeros((side, side), np.uint8)), HOW["objects"])
        times.append(time.process_time() - started)
    assert times[1] < 10 * times[0] + 0.05
