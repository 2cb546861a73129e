"""Ground truth that may be wrong: masks unlike all others of their set, and contours beside the edges in the images.

Every mask is described by a few numbers on a small copy of its image; what stands out is found from those of all cases by
median and MAD. Nothing here is certain: it is where a person should look first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, signal

from bioseg.types import Array, ImageArray, Mask

SIDE_PX = 256
"""Longest side of the copies that are compared."""
EVERYTHING = 0.95
"""A mask that covers more of its image is named."""
LEAST_CASES = 10
"""Fewer masks than this say nothing of what is usual."""
SCATTERED = 4
"""Where the usual mask has more parts than this, as with cells, its place and extent mean nothing."""
OUTLIER = 6.0
"""This many robust standard deviations from the others, over all of :data:`FEATURES`."""
FIT = 0.4
"""The contrast along the contour is less than this share of the best one nearby."""
ONE_POLARITY = 0.9
"""The contrast is compared where this share of all contrast is of masks brighter than what surrounds them, or darker."""
USUAL_FIT, USUAL_SHARE = 0.6, 0.7
"""Nothing is said of contours unless at least this share of them has this share of the best contrast nearby: there are
objects, such as opacities in a lung, whose edges the image does not show."""
LEAST_PX = 25
"""The contour of a smaller mask on the small copy is not compared with the image."""
GROUP = 4
"""A patient with this many images is judged as a whole."""

FEATURES = ("centre_row", "centre_col", "height", "width", "holes")
_FLOOR = 0.02
"""The robust standard deviation of a feature is taken to be at least this."""


@dataclass(frozen=True)
class Suspicion:
    """Ground truth to look at.

    Attributes:
        cases: Ids.
        reason: In plain words.
    """

    cases: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        """The cases and the reason in one line."""
        return f"{', '.join(self.cases)}: {self.reason}" if len(self.cases) == 1 else self.reason


@dataclass(frozen=True)
class Fit:
    """How well a contour fits its image, for objects brighter than what surrounds them (or darker, with signs changed).

    Attributes:
        here: Mean inside the mask less mean in a ring around it, in the units of the prepared image, [−1, 1].
        highest: The largest such contrast of the same mask moved by less than its own size.
        lowest: The smallest.
        highest_px: (rows, cols) it is moved for ``highest``, px of the original image.
        lowest_px: The same for ``lowest``.
    """

    here: float
    highest: float
    lowest: float
    highest_px: tuple[float, float]
    lowest_px: tuple[float, float]


@dataclass(frozen=True)
class Description:
    """A mask in numbers; lengths and areas are shares of the image's.

    Attributes:
        covered: Area.
        centre_row: Of the foreground.
        centre_col: Of the foreground.
        height: Of the bounding box.
        width: Of the bounding box.
        holes: Area that the foreground encloses.
        parts: 4-connected parts, specks under 1 % of the foreground left out.
        fit: None for a mask of a few pixels, or with nothing around it to compare with.
    """

    covered: float
    centre_row: float
    centre_col: float
    height: float
    width: float
    holes: float
    parts: int
    fit: Fit | None


def describe(pixels: Array, mask: Mask) -> Description | None:
    """Describe a mask on its image.

    Args:
        pixels: [rows, cols] or [rows, cols, channels], any type.
        mask: [rows, cols].

    Returns:
        None for a mask without foreground, or one too small to be seen on the small copy.
    """
    scale = min(1.0, SIDE_PX / max(mask.shape))
    small = _shrunk(mask.astype(np.float32), scale) > 0.5
    if not small.any():
        return None
    rows, cols = (np.flatnonzero(small.any(axis=axis)) for axis in (1, 0))
    places = np.argwhere(small).mean(axis=0) / small.shape
    areas = np.bincount(ndimage.label(small)[0].ravel())[1:]
    grey = (pixels if pixels.ndim == 2 else pixels[..., :3].mean(axis=-1)).astype(np.float32)
    return Description(
        covered=float(mask.mean()),
        centre_row=float(places[0]),
        centre_col=float(places[1]),
        height=(rows[-1] - rows[0] + 1) / small.shape[0],
        width=(cols[-1] - cols[0] + 1) / small.shape[1],
        holes=float((ndimage.binary_fill_holes(small) & ~small).mean()),
        parts=int((areas > areas.sum() / 100).sum()),
        fit=_fit(_unit(_shrunk(np.nan_to_num(grey), scale)), small, scale),
    )


def find(descriptions: Mapping[str, Description], patients: Mapping[str, str]) -> tuple[Suspicion, ...]:
    """What stands out among the masks of a data set.

    Args:
        descriptions: By the case's id.
        patients: The patient of each case by its id; empty where unknown.
    """
    found = {name: reason for name, one in descriptions.items() if (reason := _too_much(one))}
    rest = {name: one for name, one in descriptions.items() if name not in found}
    beside, groups = _beside_edges(rest, patients)
    found |= beside | _outliers(rest)
    alone = [Suspicion((name,), found[name]) for name in descriptions if name in found]
    return (*groups, *alone)


def _too_much(one: Description) -> str:
    return f"the mask covers {one.covered:.1%} of the image" if one.covered > EVERYTHING else ""


def _outliers(descriptions: Mapping[str, Description]) -> dict[str, str]:
    """Cases whose mask lies elsewhere or is of another extent than the others', and how."""
    if len(descriptions) < LEAST_CASES or np.median([one.parts for one in descriptions.values()]) > SCATTERED:
        return {}
    values = np.array([[getattr(one, name) for name in FEATURES] for one in descriptions.values()])
    usual = np.median(values, axis=0)
    deviation = np.maximum(1.4826 * np.median(np.abs(values - usual), axis=0), _FLOOR)
    distances = (values - usual) / deviation
    found = {}
    for name, own, distance in zip(descriptions, values, distances, strict=True):
        if np.linalg.norm(distance) > OUTLIER:
            most = int(np.abs(distance).argmax())
            found[name] = _IN_WORDS[FEATURES[most]].format(own[most], usual[most])
    return found


_IN_WORDS = {
    "centre_row": "the mask lies elsewhere than the others: its centre is at {:.0%} of the height, usually at {:.0%}",
    "centre_col": "the mask lies elsewhere than the others: its centre is at {:.0%} of the width, usually at {:.0%}",
    "height": "the mask reaches over {:.0%} of the image's height, usually {:.0%}",
    "width": "the mask reaches over {:.0%} of the image's width, usually {:.0%}",
    "holes": "the mask encloses {:.0%} of the image, usually {:.0%}",
}


def _beside_edges(
    descriptions: Mapping[str, Description], patients: Mapping[str, str]
) -> tuple[dict[str, str], list[Suspicion]]:
    """Cases, and patients with all their cases, whose contours would fit the image much better elsewhere."""
    fits = {name: one.fit for name, one in descriptions.items() if one.fit}
    total = sum(abs(one.here) for one in fits.values())
    bright = sum(max(0.0, one.here) for one in fits.values()) / total if total else 0.5
    if len(fits) < LEAST_CASES or max(bright, 1 - bright) < ONE_POLARITY:
        return {}, []
    facts = {  # contrast here, the best nearby (never smaller), how far away that is
        name: (one.here, one.highest, one.highest_px) if bright > 0.5 else (-one.here, -one.lowest, one.lowest_px)
        for name, one in fits.items()
    }
    if np.quantile([here / max(best, 1e-9) for here, best, _ in facts.values()], 1 - USUAL_SHARE) < USUAL_FIT:
        return {}, []
    members: dict[str, list[str]] = {}
    for name in facts:
        members.setdefault(patients.get(name) or f"unknown:{name}", []).append(name)
    groups, judged = [], set[str]()
    for patient, names in members.items():
        if len(names) < GROUP:
            continue
        here, best = np.median([facts[name][:2] for name in names], axis=0)
        if here < FIT * best:
            judged |= set(names)
            far_px = np.hypot(*np.median([facts[name][2] for name in names], axis=0))
            where = f"the masks of patient {patient} ({len(names)} images) lie beside the edges in the images"
            groups.append(Suspicion(tuple(names), f"{where}; they would fit better about {far_px:.0f} px away"))
    alone = {
        name: f"the contour lies beside the edges in the image; it would fit better about {np.hypot(*px):.0f} px away"
        for name, (here, best, px) in facts.items()
        if name not in judged and here < FIT * best
    }
    return alone, groups


def _fit(values: ImageArray, mask: Mask, scale: float) -> Fit | None:
    """The contrast of the mask against a ring around it, here and wherever it may be moved by three quarters of its size."""
    size_px = float(np.sqrt(mask.sum()))
    ring = ndimage.binary_dilation(mask, iterations=max(2, round(0.15 * size_px))) & ~mask
    if not ring.any() or mask.sum() < LEAST_PX:
        return None
    template = mask / mask.sum() - ring / ring.sum()
    rows, cols = (np.flatnonzero((template != 0).any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    reach = max(3, round(0.75 * size_px))
    around = np.pad(values, reach, mode="edge")[rows[0] : rows[-1] + 1 + 2 * reach, cols[0] : cols[-1] + 1 + 2 * reach]
    contrast = signal.fftconvolve(around, template[box][::-1, ::-1], mode="valid")
    moved_px = [
        (float(row - reach) / scale, float(col - reach) / scale)
        for row, col in (np.unravel_index(place, contrast.shape) for place in (contrast.argmax(), contrast.argmin()))
    ]
    return Fit(float(contrast[reach, reach]), float(contrast.max()), float(contrast.min()), *moved_px)


def _unit(values: NDArray[np.float32]) -> ImageArray:
    """The 1st to 99th percentile as [0, 1]."""
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1), np.float32)


def _shrunk(values: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    if scale == 1:
        return values
    rows, cols = (max(1, round(side * scale)) for side in values.shape)
    return np.array(Image.fromarray(values).resize((cols, rows), Image.Resampling.BOX))
