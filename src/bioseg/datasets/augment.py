"""Augmentation of whole batches: draw the parameters, then apply them to images and masks alike.

Geometry is one affine map per image; intensity is a chain of cheap steps. Both run on the device of the batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bioseg.specs import Fraction, NonNegative, Positive, Range, check
from bioseg.types import BiosegError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional
else:
    try:
        import torch
        from torch import Tensor
        from torch.nn import functional
    except ImportError:  # where model files are run without PyTorch, nothing is augmented
        Tensor = Any

Numbers = NDArray[np.float32]
Fill = Literal["nearest", "zero", "mirror"]
Step = Callable[[Tensor, Tensor, int], Tensor]
"""(images, parameters [N, …], seed) → images."""


@dataclass(frozen=True)
class Augmentation:
    """How much an image may be changed; all 0 changes nothing.

    Attributes:
        rotation_deg: Up to ± degrees.
        shift: Up to ± a share of each side.
        shear_deg: Up to ± degrees.
        zoom: Between two factors, both axes alike; below 1 the content shrinks.
        aspect: Width to height of the content changes by up to this factor either way, its area stays; 1: never.
        flip_rows: Probability of an upside-down image.
        flip_cols: Probability of a left-right mirrored image.
        quarter_turns: 0, 90, 180 or 270°; on square grids only.
        fill: What moves in from outside, in image and mask alike: the nearest edge, zeros, or the image mirrored at its edge.
        gamma: x becomes x to the power of exp(g), g up to ± this.
        gamma_chance: Probability that an image gets it; the other chances likewise.
        contrast: x becomes (x − mean) · (1 + c) + mean, c up to ± this.
        offset: x becomes x + o, o up to ± this.
        curve_chance: Of a piecewise linear curve through a random knee.
        blur_px: Largest standard deviation of a 5×5 Gaussian, px.
        blur_chance: See ``gamma_chance``.
        noise: Largest standard deviation of the Gaussian noise that is added to each pixel.
        noise_chance: See ``gamma_chance``.
        bias_field: Standard deviation of a smooth field that is added.
        bias_chance: See ``gamma_chance``.
        convolution_chance: Of being mixed with a randomly filtered copy.
        fourier_chance: Of getting a share of another image's Fourier amplitudes; the phases are kept.
        inversion_chance: Of x becoming 1 − x.
        distractors: At most this many soft ellipses of one grey value are laid over the background, so that "dark" or
            "round" alone does not come to mean "foreground".
    """

    rotation_deg: NonNegative = 0.0
    shift: Fraction = 0.0
    shear_deg: Annotated[float, Range(0, 89)] = 0.0
    zoom: tuple[Positive, Positive] = (1.0, 1.0)
    aspect: Annotated[float, Range(1)] = 1.0
    flip_rows: Fraction = 0.0
    flip_cols: Fraction = 0.0
    quarter_turns: bool = False
    fill: Fill = "nearest"
    gamma: NonNegative = 0.0
    gamma_chance: Fraction = 0.8
    contrast: NonNegative = 0.0
    offset: NonNegative = 0.0
    curve_chance: Fraction = 0.0
    blur_px: NonNegative = 0.0
    blur_chance: Fraction = 0.3
    noise: NonNegative = 0.0
    noise_chance: Fraction = 0.3
    bias_field: NonNegative = 0.0
    bias_chance: Fraction = 0.4
    convolution_chance: Fraction = 0.0
    fourier_chance: Fraction = 0.0
    inversion_chance: Fraction = 0.0
    distractors: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "augmentation")
        if self.zoom[0] > self.zoom[1]:
            raise BiosegError(f"augmentation.zoom: {list(self.zoom)}; give [least, most]")


def strong_intensity(how: Augmentation) -> Augmentation:
    """``how`` with strong changes of intensity, for images of scanners that were not trained on."""
    return replace(how, gamma=0.9, contrast=0.4, offset=0.2, curve_chance=0.3, blur_px=1.5, noise=0.08, bias_field=0.15)


@dataclass(frozen=True, eq=False)
class Parameters:
    """What was drawn for one batch.

    Attributes:
        affine: [N, 2, 3], from output to input in [−1, 1] coordinates (x along cols, then y along rows); None: no change.
        fill: As in :class:`Augmentation`.
        steps: (function, parameters [N, …]) in the order they are applied; an image that is not chosen has neutral ones.
        seed: For the noise of pixels.
        blobs: [N, K, 7], one ellipse each: centre (row, col) and half axes in halves of a side, angle, grey value, opacity.
    """

    affine: Numbers | None
    fill: Fill
    steps: tuple[tuple[Step, Numbers], ...]
    seed: int
    blobs: Numbers | None = None


def draw(how: Augmentation, rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Parameters:
    """Draw the changes of ``count`` images of ``shape`` (rows, cols); ``rng`` is the only source of randomness."""

    def within(limit: float) -> Numbers:
        return rng.uniform(-limit, limit, count).astype(np.float32)

    def spared(values: Numbers, chance: float, neutral: float = 0.0) -> Numbers:
        hit = (rng.random(count) < chance).reshape(-1, *[1] * (values.ndim - 1))
        return np.where(hit, values, np.float32(neutral)).astype(np.float32)

    affine = _draw_affine(how, rng, count, shape)
    steps: list[tuple[Step, Numbers]] = []
    if how.inversion_chance:
        steps.append((_inversion, spared(np.ones(count, np.float32), how.inversion_chance)))
    if how.fourier_chance:
        share = spared(rng.random(count).astype(np.float32), how.fourier_chance)
        steps.append((_fourier, np.stack([rng.permutation(count).astype(np.float32), share], axis=1)))
    if how.convolution_chance:
        kernels = rng.standard_normal((count, 5, 5)).astype(np.float32)
        share = spared(rng.random(count).astype(np.float32), how.convolution_chance)
        steps.append((_convolution, np.concatenate([kernels.reshape(count, -1), share[:, None]], axis=1)))
    if how.gamma:
        steps.append((_gamma, spared(within(how.gamma), how.gamma_chance)))
    if how.curve_chance:
        knee = rng.uniform(0.2, 0.8, (count, 2)).astype(np.float32)
        steps.append((_curve, spared(knee, how.curve_chance, neutral=0.5)))
    if how.contrast or how.offset:
        steps.append((_contrast, np.stack([1 + within(how.contrast), within(how.offset)], axis=1)))
    if how.blur_px:
        deviation = (how.blur_px * rng.uniform(0.2, 1, count)).astype(np.float32)
        steps.append((_blur, spared(deviation, how.blur_chance)))
    if how.bias_field:
        field = rng.normal(0, how.bias_field, (count, 4, 4)).astype(np.float32)
        steps.append((_bias_field, spared(field, how.bias_chance)))
    if how.noise:
        steps.append((_noise, spared(rng.uniform(0, how.noise, count).astype(np.float32), how.noise_chance)))
    seed = int(rng.integers(2**31)) if steps else 0
    blobs = _draw_blobs(rng, count, how.distractors) if how.distractors else None
    return Parameters(affine, how.fill, tuple(steps), seed, blobs)


def apply(images: Tensor, masks: Tensor, parameters: Parameters, targets: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Change a batch as drawn.

    Args:
        images: [N, channels, rows, cols] in [0, 1].
        masks: [N, K, rows, cols], 0 or 1.
        parameters: Of :func:`draw` for N images of this size.
        targets: What the K planes are (``Preparation.planes``): ``presence``, which says something of the whole image, stays
            as it is wherever the image is moved. Empty: all are masks.

    Returns:
        The same shapes; images still in [0, 1], masks still 0 or 1. What is not changed is not copied.
    """
    if parameters.affine is not None:
        moved = _move(torch.cat([images, masks], dim=1), parameters.affine, parameters.fill)
        before, images, masks = masks, moved[:, : images.shape[1]], (moved[:, images.shape[1] :] > 0.5).to(masks.dtype)
        for plane, target in enumerate(targets):
            if target == "presence":
                masks[:, plane] = before[:, plane]
    if parameters.blobs is not None:
        images = _lay_blobs(images, masks, torch.from_numpy(parameters.blobs).to(images.device))
    for step, values in parameters.steps:
        images = step(images, torch.from_numpy(values).to(images.device), parameters.seed)
    return (images.clamp(0, 1) if parameters.steps else images), masks


def _draw_affine(how: Augmentation, rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Numbers | None:
    plain = Augmentation(fill=how.fill)
    geometry = ("rotation_deg", "shift", "shear_deg", "zoom", "aspect", "flip_rows", "flip_cols", "quarter_turns")
    if all(getattr(how, name) == getattr(plain, name) for name in geometry):
        return None
    angle = np.deg2rad(rng.uniform(-how.rotation_deg, how.rotation_deg, count))
    if how.quarter_turns and shape[0] == shape[1]:
        angle += np.pi / 2 * rng.integers(0, 4, count)
    shear = np.tan(np.deg2rad(rng.uniform(-how.shear_deg, how.shear_deg, count)))
    # One factor for both axes: its logarithm is uniform, so that halving is as likely as doubling.
    zoom = np.exp(rng.uniform(np.log(how.zoom[0]), np.log(how.zoom[1]), count))[:, None]
    if how.aspect != 1:
        wider = rng.uniform(-0.5, 0.5, count) * np.log(how.aspect)
        zoom = zoom * np.exp(np.stack([wider, -wider], axis=1))
    shift = rng.uniform(-how.shift, how.shift, (count, 2)) * 2
    mirror = np.where(rng.random((count, 2)) < (how.flip_cols, how.flip_rows), -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin + cos * shear], 1), np.stack([sin, cos + sin * shear], 1)], 1)
    turn = turn * (mirror / zoom)[:, :, None]
    # Turn in px, not in [−1, 1] coordinates, so that circles stay circles on oblong grids.
    rows, cols = shape
    turn[:, 0, 1] *= rows / cols
    turn[:, 1, 0] *= cols / rows
    return np.concatenate([turn, shift[:, :, None]], axis=2).astype(np.float32)


def _draw_blobs(rng: np.random.Generator, count: int, most: int) -> Numbers:
    """Centres anywhere, half axes from .06 to .41 of half a side; each of the ``most`` is there with a probability of one half."""
    size = (count, most)
    parts = (
        rng.uniform(-1, 1, size), rng.uniform(-1, 1, size), rng.uniform(0.06, 0.41, size), rng.uniform(0.06, 0.41, size),
        rng.uniform(0, np.pi, size), rng.random(size), rng.uniform(0.5, 1, size) * (rng.random(size) < 0.5),
    )  # fmt: skip
    return np.stack(parts, axis=-1).astype(np.float32)


def _lay_blobs(images: Tensor, masks: Tensor, blobs: Tensor) -> Tensor:
    """Ellipses with soft edges over the background of the first mask."""
    rows, cols = images.shape[2:]
    y = torch.linspace(-1, 1, rows, device=images.device)[:, None]
    x = torch.linspace(-1, 1, cols, device=images.device)
    outside = 1 - masks[:, :1]
    for blob in blobs.unbind(1):
        top, left, tall, wide, angle, grey, opacity = (_each(part) for part in blob.unbind(1))
        down, across = y - top, x - left
        along = (down * angle.cos() + across * angle.sin()) / tall
        beside = (across * angle.cos() - down * angle.sin()) / wide
        cover = ((1 - (along**2 + beside**2).sqrt()) * 6).sigmoid() * opacity * outside
        images = torch.lerp(images, grey.expand_as(images), cover.expand_as(images))
    return images


def _move(batch: Tensor, affine: Numbers, fill: str) -> Tensor:
    matrix = torch.from_numpy(affine).to(batch.device, batch.dtype)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    padding = {"nearest": "border", "zero": "zeros", "mirror": "reflection"}[fill]
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _inversion(images: Tensor, hit: Tensor, seed: int) -> Tensor:
    return torch.where(_each(hit) > 0, 1 - images, images)


def _convolution(images: Tensor, values: Tensor, seed: int) -> Tensor:
    """A random 5×5 filter (Xu et al. 2021), brought back to the image's mean and standard deviation, mixed in by a share."""
    count, channels, rows, cols = images.shape
    if rows * cols < 2:  # a single pixel has no standard deviation
        return images
    kernels = values[:, :-1].reshape(count, 1, 5, 5).repeat_interleave(channels, dim=0)
    padded = functional.pad(images, (2, 2, 2, 2), mode="replicate").reshape(1, count * channels, rows + 4, cols + 4)
    filtered = functional.conv2d(padded, kernels, groups=count * channels).reshape(images.shape)
    axes = (2, 3)
    filtered = (filtered - filtered.mean(axes, keepdim=True)) / filtered.std(axes, keepdim=True).clamp_min(1e-6)
    filtered = filtered * images.std(axes, keepdim=True) + images.mean(axes, keepdim=True)
    return torch.lerp(images, filtered, _each(values[:, -1]))


def _fourier(images: Tensor, values: Tensor, seed: int) -> Tensor:
    """Amplitudes mixed with those of another image of the batch by a share (Xu et al. 2021, FACT)."""
    hit = values[:, 1].nonzero()[:, 0]
    if not len(hit):
        return images
    spectrum, partner = torch.fft.rfft2(images[hit]), torch.fft.rfft2(images[values[hit, 0].long()])
    amplitude = torch.lerp(spectrum.abs(), partner.abs(), _each(values[hit, 1]))
    mixed = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=images.shape[-2:])
    return images.index_copy(0, hit, mixed)


def _gamma(images: Tensor, exponent: Tensor, seed: int) -> Tensor:
    return images.clamp_min(0) ** _each(exponent.exp())


def _curve(images: Tensor, knee: Tensor, seed: int) -> Tensor:
    """Straight from (0, 0) to the knee (x, y) and from there to (1, 1)."""
    x, y = _each(knee[:, 0]), _each(knee[:, 1])
    return torch.where(images < x, images * (y / x), y + (images - x) * ((1 - y) / (1 - x)))


def _contrast(images: Tensor, values: Tensor, seed: int) -> Tensor:
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * _each(values[:, 0]) + mean + _each(values[:, 1])


def _blur(images: Tensor, deviation: Tensor, seed: int) -> Tensor:
    """A separable Gaussian, five taps; a deviation of 0 leaves the image as it is."""
    hit = deviation.nonzero()[:, 0]
    if not len(hit):
        return images
    distance = torch.arange(-2, 3, device=images.device, dtype=images.dtype)
    taps = torch.exp(-(distance**2) / (2 * deviation[hit, None] ** 2))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    some = images[hit]
    flat = functional.pad(some, (2, 2, 2, 2), mode="replicate").reshape(1, -1, some.shape[2] + 4, some.shape[3] + 4)
    flat = functional.conv2d(flat, taps[:, None, :, None], groups=len(taps))
    flat = functional.conv2d(flat, taps[:, None, None, :], groups=len(taps))
    return images.index_copy(0, hit, flat.reshape(some.shape))


def _bias_field(images: Tensor, field: Tensor, seed: int) -> Tensor:
    smooth = functional.interpolate(field[:, None], images.shape[2:], mode="bicubic", align_corners=False)
    return images + smooth


def _noise(images: Tensor, deviation: Tensor, seed: int) -> Tensor:
    hit = deviation.nonzero()[:, 0]
    if not len(hit):
        return images
    generator = torch.Generator(images.device).manual_seed(seed)
    some = images[hit]
    noise = torch.randn(some.shape, generator=generator, device=images.device, dtype=images.dtype)
    return images.index_copy(0, hit, some + noise * _each(deviation[hit]))
