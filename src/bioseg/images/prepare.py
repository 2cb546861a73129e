"""From stored pixels to what a network is given, by pure steps; and the way back to the image's own grid."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import exposure

from bioseg.classes import EVERYTHING, Classes
from bioseg.images import channels
from bioseg.images.formats import RawImage
from bioseg.images.raw_image import MAX_CHANNELS
from bioseg.specs import Call, Count, Fraction, Positive, Range, Takes, call, check
from bioseg.types import Array, BiosegError, ImageArray, Mask, Probability

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Fit = Literal["stretch", "letterbox", "patches"]
Target = Literal["foreground", "marker", "presence"]
Merge = Literal["before", "after"]
Percent = Annotated[float, Range(0, 100)]
Step = Annotated[Call[ImageArray], Takes(1)]
_FAR = np.float32(1e30)
Side = Annotated[int, Range(1, 16_384)]


def invert(values: ImageArray, *, white: float | None = None) -> ImageArray:
    """Bright becomes dark: ``white`` − values; without ``white`` the image's own range is kept."""
    return np.asarray((values.max() + values.min() if white is None else white) - values, np.float32)


def min_max(values: ImageArray) -> ImageArray:
    """The image's own smallest value becomes 0, its largest 1; a flat image becomes 0."""
    return fixed_window(values, low=float(values.min()), high=float(values.max()))


def percentile_window(values: ImageArray, *, low: Percent = 5.0, high: Percent = 95.0) -> ImageArray:
    """The image's own percentiles become 0 and 1, values beyond are clipped.

    Where they coincide, as in a black image with a few bright spots, it is :func:`min_max`; a flat image becomes 0.
    """
    bottom, top = np.percentile(values, (low, high))
    return fixed_window(values, low=float(bottom), high=float(top)) if bottom < top else min_max(values)


def fixed_window(values: ImageArray, *, low: float, high: float) -> ImageArray:
    """``low`` becomes 0 and ``high`` 1, values beyond are clipped; all 0 where the two are the same."""
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return np.asarray(np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1), np.float32)


def chest_upright(values: ImageArray) -> ImageArray:
    """A frontal chest X-ray [rows, cols(, 3)] in [0, 1] with bones white: inverted where it is found the other way round.

    The middle of the chest, spine and heart, is brighter than the lungs beside it; where the middle tenth of the image,
    from a quarter to six tenths of its height, is darker than what lies at .2–.38 and .62–.8 of its width, it is inverted.
    """
    rows, cols = values.shape[:2]
    chest = values[rows // 4 : max(rows // 4 + 1, rows * 6 // 10)].mean(axis=0)

    def part(first: float, last: float) -> float:
        return float(chest[int(first * cols) : max(int(first * cols) + 1, int(last * cols))].mean())

    return values if part(0.45, 0.55) >= (part(0.2, 0.38) + part(0.62, 0.8)) / 2 else invert(values, white=1.0)


def clahe(values: ImageArray, *, clip_limit: Positive = 3.0, tiles: Annotated[int, Range(1, 64)] = 8) -> ImageArray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994).

    Args:
        values: [rows, cols], or [rows, cols, 3] of which the value of HSV is equalised; [0, 1].
        clip_limit: Largest share of a histogram bin, in multiples of a flat histogram's 1/256.
        tiles: Tiles along each side.

    Returns:
        Stretched to [0, 1]; a flat image becomes 0.
    """
    if values.min() == values.max():
        return np.zeros(values.shape, np.float32)
    tile = [max(1, side // tiles) for side in values.shape[:2]]
    equalised = exposure.equalize_adapthist(values, kernel_size=tile, clip_limit=clip_limit / 256, nbins=256)
    return np.asarray(equalised, np.float32)


@dataclass(frozen=True)
class Preparation:
    """How an image becomes a network's input: rescale, channels, window, polarity, crop, resize.

    Attributes:
        size_px: (rows, cols) of the network's grid; with ``patches``, of a training patch.
        channels: 1 (grey; of RGB its luma), 3 (RGB; grey is repeated, three measured channels are as good), or the number of
            measured channels, which images must have then.
        intensity: Steps (values [rows, cols(, 3)] float32) → the same shape in [0, 1]. The first is the window; the polarity
            of MONOCHROME1 and film is applied after it, as in DICOM's greyscale pipeline, and before the others. Empty:
            :func:`min_max`. Each measured channel is prepared as an image of its own, with its own window; RGB as one.
        crop_px: Central (rows, cols) cut from the image first; where it is smaller, all of it.
        fit: Stretch the image to the grid; or keep its aspect and pad with zeros; or keep its pixels: the network is
            trained on patches and used on the whole image, padded where it is smaller than a patch.
        interpolation: Of images; antialiased when shrinking, all but nearest.
        mask_interpolation: Of masks.
        mask_threshold: A resized mask's pixels above it are foreground: at .5 those more than half covered, at 0 all that
            are touched.
        merge: Several masks are united before they are resized, or each is resized first.
        targets: What the network's output planes are trained on, see :func:`bioseg.datasets.targets.draw`; ``foreground``
            comes first and stands for a plane of each class.
        classes: What is told apart.
        select: The channels that are used, by number from 1 or by name, in the order of the network's; empty: all.
    """

    size_px: tuple[Side, Side]
    channels: Annotated[int, Range(1, MAX_CHANNELS)] = 1
    intensity: tuple[Step, ...] = (call(min_max),)
    crop_px: tuple[Side, Side] | None = None
    fit: Fit = "stretch"
    interpolation: Interpolation = "bilinear"
    mask_interpolation: Interpolation = "bilinear"
    mask_threshold: Fraction = 0.5
    merge: Merge = "before"
    targets: tuple[Target, ...] = ("foreground",)
    classes: Classes = EVERYTHING
    select: tuple[Count | str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "preparation")
        if self.intensity and self.intensity[0].function in (invert, chest_upright, clahe):
            raise BiosegError(
                f"preparation.intensity: begins with {self.intensity[0].name}; "
                "begin with a window, such as min_max, percentile_window or fixed_window"
            )
        if self.select and len(self.select) != self.channels and (len(self.select), self.channels) != (1, 3):
            raise BiosegError(
                f"preparation.select: {len(self.select)} channels, preparation.channels is {self.channels}; make them agree"
            )
        if self.targets[:1] != ("foreground",) or len(set(self.targets)) < len(self.targets):
            raise BiosegError(
                f"preparation.targets: {self.targets!r}; begin with foreground, then marker or presence, each once"
            )

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the network's output planes: the classes or, where there is one, ``foreground``; then the other targets."""
        return (*(self.classes.names if self.classes.several else ("foreground",)), *self.targets[1:])


def to_bytes(values: ImageArray) -> NDArray[np.uint8]:
    """[0, 1] as 0 to 255, of any shape; what lies outside is clipped."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * np.float32(255)), np.uint8)


@dataclass(frozen=True)
class Placement:
    """Where the prepared grid lies in the image's own.

    Attributes:
        shape: (rows, cols) of the image.
        crop: (top, left, rows, cols) of the part that was used.
        inner: (top, left, rows, cols) of that part on the prepared grid; the rest is padding.
        grid: (rows, cols) of the prepared grid.
    """

    shape: tuple[int, int]
    crop: tuple[int, int, int, int]
    inner: tuple[int, int, int, int]
    grid: tuple[int, int]


def place(shape: tuple[int, int], how: Preparation) -> Placement:
    """Where an image of ``shape`` (rows, cols) comes to lie."""
    rows, cols = (min(a, b) for a, b in zip(shape, how.crop_px or shape, strict=True))
    crop = ((shape[0] - rows) // 2, (shape[1] - cols) // 2, rows, cols)
    if how.fit == "stretch":
        return Placement(shape, crop, (0, 0, *how.size_px), how.size_px)
    if how.fit == "patches":
        grid = (max(rows, how.size_px[0]), max(cols, how.size_px[1]))
        return Placement(shape, crop, ((grid[0] - rows) // 2, (grid[1] - cols) // 2, rows, cols), grid)
    scale = min(how.size_px[0] / rows, how.size_px[1] / cols)
    height, width = max(1, round(rows * scale)), max(1, round(cols * scale))
    inner = ((how.size_px[0] - height) // 2, (how.size_px[1] - width) // 2, height, width)
    return Placement(shape, crop, inner, how.size_px)


def to_unit(raw_image: RawImage, how: Preparation) -> ImageArray:
    """The whole image on its own grid with polarity, channels and intensity prepared.

    Returns:
        [rows, cols] or, with several channels, [rows, cols, channels], in [0, 1].

    Raises:
        BiosegError: It has not the channels that are wanted; the message does not name the file.
    """
    fitted = channels.fit(raw_image, how.select, how.channels)
    if fitted.pixels.ndim == 2 or fitted.colour:
        return _to_unit(fitted, how, how.channels)
    planes = [replace(fitted, pixels=plane, channels=()) for plane in np.moveaxis(fitted.pixels, -1, 0)]
    return np.stack([_to_unit(plane, how, 1) for plane in planes], axis=-1)


def _to_unit(raw_image: RawImage, how: Preparation, count: int) -> ImageArray:
    """Grey or RGB as so many channels, 1 or 3."""
    values = _finite(raw_image.pixels)
    if (raw_image.slope, raw_image.intercept) != (1.0, 0.0):
        with np.errstate(over="ignore", invalid="ignore"):
            values = _finite(values * np.float32(raw_image.slope) + np.float32(raw_image.intercept))
    if count == 1 and values.ndim == 3:
        values = values @ np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601
    elif count == 3 and values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=-1)
    window, *others = how.intensity or (call(min_max),)
    values = window(values)
    if raw_image.inverted:  # DICOM PS3.4 N.2: rescale, window, then the polarity of the presentation
        values = invert(values, white=1.0)
    for step in others:
        values = step(values)
    return values


def _finite(pixels: Array) -> ImageArray:
    """As float32 of at most ±1e30, so that differences stay finite.

    A NaN becomes the smallest number there is, as outside a scanner's round field; infinities become the smallest and
    the largest.
    """
    with np.errstate(over="ignore"):
        values = pixels.astype(np.float32)
    if pixels.dtype.kind != "f":
        return values
    known = np.isfinite(values)
    if not known.all():
        low, high = (values[known].min(), values[known].max()) if known.any() else (0, 0)
        values = np.nan_to_num(values, copy=False, nan=low, neginf=low, posinf=high)
    return values if np.abs(values).max() <= _FAR else np.clip(values, -_FAR, _FAR)


def prepare_image(raw_image: RawImage, how: Preparation) -> tuple[ImageArray, Placement]:
    """An image as a network is given it.

    Returns:
        [channels, rows, cols] in [0, 1] on the prepared grid, and where that lies in the image.
    """
    unit = to_unit(raw_image, how)
    placement = place((unit.shape[0], unit.shape[1]), how)
    planes = [unit] if unit.ndim == 2 else list(np.moveaxis(unit, -1, 0))
    return np.stack([_to_grid(plane, placement, how.interpolation) for plane in planes]), placement


def prepare_mask(mask: Mask, placement: Placement, how: Preparation) -> Mask:
    """A mask [rows, cols] of the image's own grid on the prepared one; padding is background."""
    return _to_grid(mask.astype(np.float32), placement, how.mask_interpolation) > how.mask_threshold


def prepare_classes(masks: Mask, placement: Placement, how: Preparation) -> Mask:
    """The masks of several classes [K, rows, cols] of the image's own grid on the prepared one.

    A prepared pixel may be covered by several exclusive classes; it is then of the one that covers most of it.
    """
    shares = np.stack([_to_grid(mask.astype(np.float32), placement, how.mask_interpolation) for mask in masks])
    if not how.classes.exclusive:
        return np.asarray(shares > how.mask_threshold)
    first = np.arange(len(shares))[:, None, None] == shares.argmax(axis=0)
    return np.asarray(first & (shares.sum(axis=0) > how.mask_threshold))


def restore(probability: Probability, placement: Placement) -> Probability:
    """A probability on the prepared grid, resampled (bilinear) to the image's own grid; 0 outside the crop."""
    top, left, rows, cols = placement.inner
    inner = np.asarray(probability, np.float32)[top : top + rows, left : left + cols]
    whole = np.zeros(placement.shape, np.float32)
    top, left, rows, cols = placement.crop
    whole[top : top + rows, left : left + cols] = np.clip(_resize(inner, (rows, cols), "bilinear"), 0, 1)
    return whole


def _to_grid(plane: ImageArray, placement: Placement, kernel: Interpolation) -> ImageArray:
    top, left, rows, cols = placement.crop
    part = plane[top : top + rows, left : left + cols]
    top, left, rows, cols = placement.inner
    resized = _resize(part, (rows, cols), kernel)
    if (rows, cols) == placement.grid:
        return resized
    grid = np.zeros(placement.grid, np.float32)
    grid[top : top + rows, left : left + cols] = resized
    return grid


def _resize(plane: ImageArray, shape: tuple[int, int], kernel: Interpolation) -> ImageArray:
    """Outer edges stay where they are, so nothing shifts; overshoot of the sharper kernels is clipped to the range."""
    if plane.shape == shape:
        return np.ascontiguousarray(plane)
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    resized = np.array(image.resize((shape[1], shape[0]), Image.Resampling[kernel.upper()]))
    return np.clip(resized, plane.min(), plane.max()) if kernel in ("bicubic", "lanczos") else resized
