"""Augmentation of whole batches: draw the parameters, then apply them to pictures and masks alike.

Geometry is one affine map a picture; intensity is a chain of cheap steps. Both run where the batch lies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bioseg.types import BiosegError

Numbers = NDArray[np.float32]
Fill = Literal["nearest", "zero", "mirror"]
Step = Callable[[Tensor, Tensor, int], Tensor]
"""(pictures, parameters [N, …], seed) → pictures."""


@dataclass(frozen=True)
class Augmentation:
    """How much a picture may be changed; all 0 changes nothing.

    Attributes:
        rotation_deg: Up to ± degrees.
        shift: Up to ± a share of each side.
        shear_deg: Up to ± degrees.
        zoom: Between two factors, both axes alike; below 1 the content shrinks.
        aspect: Width to height of the content changes by up to this factor either way, its area stays; 1: never.
        flip_rows: Chance of an upside-down picture.
        flip_cols: Chance of a mirrored picture.
        quarter_turns: 0, 90, 180 or 270°; on square grids only.
        fill: What comes in from outside, in picture and mask alike: the nearest edge, zeros, or the mirrored inside.
        gamma: x becomes x to the power of exp(± so much).
        gamma_chance: For a picture to get it; so are the other chances.
        contrast: x becomes (x − mean) · (1 ± so much) + mean.
        offset: x becomes x ± so much.
        curve_chance: Of a two-piece line through a random knee.
        blur_px: SD of a 5×5 Gaussian, at most.
        blur_chance: See ``gamma_chance``.
        noise: SD of what is added to each pixel, at most.
        noise_chance: See ``gamma_chance``.
        bias_field: SD of a smooth field that is added.
        bias_chance: See ``gamma_chance``.
        convolution_chance: Of being mixed with a randomly filtered copy.
        fourier_chance: Of a share of another picture's Fourier amplitudes, the phases kept.
        inversion_chance: Of x becoming 1 − x.
        distractors: At most so many soft ellipses of one grey are laid over what is outside the mask, so that "dark" or
            "round" alone does not come to mean "inside".
    """

    rotation_deg: float = 0.0
    shift: float = 0.0
    shear_deg: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    flip_rows: float = 0.0
    flip_cols: float = 0.0
    quarter_turns: bool = False
    fill: Fill = "nearest"
    gamma: float = 0.0
    gamma_chance: float = 0.8
    contrast: float = 0.0
    offset: float = 0.0
    curve_chance: float = 0.0
    blur_px: float = 0.0
    blur_chance: float = 0.3
    noise: float = 0.0
    noise_chance: float = 0.3
    bias_field: float = 0.0
    bias_chance: float = 0.4
    convolution_chance: float = 0.0
    fourier_chance: float = 0.0
    inversion_chance: float = 0.0
    distractors: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise BiosegError(f"augmentation.zoom: {self.zoom}; give (least, most), both above 0")
        if self.aspect < 1:
            raise BiosegError(f"augmentation.aspect: {self.aspect}; give 1 or more: the most that a side is stretched")
        if self.fill not in get_args(Fill):
            raise BiosegError(f"augmentation.fill: {self.fill!r}; choose {' or '.join(get_args(Fill))}")
        for name, value in vars(self).items():
            if (name.endswith("_chance") or name.startswith("flip_")) and not 0 <= value <= 1:
                raise BiosegError(f"augmentation.{name}: {value}; a chance lies between 0 and 1")


def strong_intensity(how: Augmentation) -> Augmentation:
    """``how`` with strong changes of intensity, for pictures of machines that training has not seen."""
    return replace(how, gamma=0.9, contrast=0.4, offset=0.2, curve_chance=0.3, blur_px=1.5, noise=0.08, bias_field=0.15)


@dataclass(frozen=True, eq=False)
class Turn:
    """What was drawn for one batch.

    Attributes:
        affine: [N, 2, 3], from output to input in [−1, 1] coordinates (x along cols, then y along rows); None: stay.
        fill: As in :class:`Augmentation`.
        steps: (function, parameters [N, …]) in the order they are applied; a picture that is spared has neutral ones.
        seed: For the noise of pixels.
        blobs: [N, K, 7], an ellipse each: centre (row, col) and half axes in halves of a side, angle, grey, opacity.
    """

    affine: Numbers | None
    fill: Fill
    steps: tuple[tuple[Step, Numbers], ...]
    seed: int
    blobs: Numbers | None = None


def draw(how: Augmentation, rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Turn:
    """Draw the changes of ``count`` pictures of ``shape`` (rows, cols); ``rng`` is the only source of chance."""

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
    return Turn(affine, how.fill, tuple(steps), seed, blobs)


def apply(pictures: Tensor, masks: Tensor, turn: Turn) -> tuple[Tensor, Tensor]:
    """Change a batch as drawn.

    Args:
        pictures: [N, channels, rows, cols] in [0, 1].
        masks: [N, K, rows, cols], 0 or 1.
        turn: Of :func:`draw` for N pictures of this size.

    Returns:
        The same shapes; pictures still in [0, 1], masks still 0 or 1. What was drawn to stay is not copied.
    """
    if turn.affine is not None:
        moved = _move(torch.cat([pictures, masks], dim=1), turn.affine, turn.fill)
        pictures, masks = moved[:, : pictures.shape[1]], (moved[:, pictures.shape[1] :] > 0.5).to(masks.dtype)
    if turn.blobs is not None:
        pictures = _lay_blobs(pictures, masks, torch.from_numpy(turn.blobs).to(pictures.device))
    for step, parameters in turn.steps:
        pictures = step(pictures, torch.from_numpy(parameters).to(pictures.device), turn.seed)
    return (pictures.clamp(0, 1) if turn.steps else pictures), masks


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
    """Centres anywhere, half axes from .06 to .41 of half a side; each of the ``most`` is there with a chance of one half."""
    size = (count, most)
    parts = (
        rng.uniform(-1, 1, size), rng.uniform(-1, 1, size), rng.uniform(0.06, 0.41, size), rng.uniform(0.06, 0.41, size),
        rng.uniform(0, np.pi, size), rng.random(size), rng.uniform(0.5, 1, size) * (rng.random(size) < 0.5),
    )  # fmt: skip
    return np.stack(parts, axis=-1).astype(np.float32)


def _lay_blobs(pictures: Tensor, masks: Tensor, blobs: Tensor) -> Tensor:
    """Ellipses with soft edges over the outside of the first mask."""
    rows, cols = pictures.shape[2:]
    y = torch.linspace(-1, 1, rows, device=pictures.device)[:, None]
    x = torch.linspace(-1, 1, cols, device=pictures.device)
    outside = 1 - masks[:, :1]
    for blob in blobs.unbind(1):
        top, left, tall, wide, angle, grey, opacity = (_each(part) for part in blob.unbind(1))
        down, across = y - top, x - left
        along = (down * angle.cos() + across * angle.sin()) / tall
        beside = (across * angle.cos() - down * angle.sin()) / wide
        cover = ((1 - (along**2 + beside**2).sqrt()) * 6).sigmoid() * opacity * outside
        pictures = torch.lerp(pictures, grey.expand_as(pictures), cover.expand_as(pictures))
    return pictures


def _move(batch: Tensor, affine: Numbers, fill: str) -> Tensor:
    matrix = torch.from_numpy(affine).to(batch.device, batch.dtype)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    padding = {"nearest": "border", "zero": "zeros", "mirror": "reflection"}[fill]
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _inversion(pictures: Tensor, hit: Tensor, seed: int) -> Tensor:
    return torch.where(_each(hit) > 0, 1 - pictures, pictures)


def _convolution(pictures: Tensor, values: Tensor, seed: int) -> Tensor:
    """A random 5×5 filter (Xu et al. 2021), brought back to the picture's mean and SD, mixed in by a share."""
    count, channels, rows, cols = pictures.shape
    kernels = values[:, :-1].reshape(count, 1, 5, 5).repeat_interleave(channels, dim=0)
    padded = functional.pad(pictures, (2, 2, 2, 2), mode="replicate").reshape(1, count * channels, rows + 4, cols + 4)
    filtered = functional.conv2d(padded, kernels, groups=count * channels).reshape(pictures.shape)
    axes = (2, 3)
    filtered = (filtered - filtered.mean(axes, keepdim=True)) / filtered.std(axes, keepdim=True).clamp_min(1e-6)
    filtered = filtered * pictures.std(axes, keepdim=True) + pictures.mean(axes, keepdim=True)
    return torch.lerp(pictures, filtered, _each(values[:, -1]))


def _fourier(pictures: Tensor, values: Tensor, seed: int) -> Tensor:
    """Amplitudes drawn towards those of another picture of the batch by a share (Xu et al. 2021, FACT)."""
    hit = values[:, 1].nonzero()[:, 0]
    if not len(hit):
        return pictures
    spectrum, partner = torch.fft.rfft2(pictures[hit]), torch.fft.rfft2(pictures[values[hit, 0].long()])
    amplitude = torch.lerp(spectrum.abs(), partner.abs(), _each(values[hit, 1]))
    mixed = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=pictures.shape[-2:])
    return pictures.index_copy(0, hit, mixed)


def _gamma(pictures: Tensor, exponent: Tensor, seed: int) -> Tensor:
    return pictures.clamp_min(0) ** _each(exponent.exp())


def _curve(pictures: Tensor, knee: Tensor, seed: int) -> Tensor:
    """Straight from (0, 0) to the knee (x, y) and from there to (1, 1)."""
    x, y = _each(knee[:, 0]), _each(knee[:, 1])
    return torch.where(pictures < x, pictures * (y / x), y + (pictures - x) * ((1 - y) / (1 - x)))


def _contrast(pictures: Tensor, values: Tensor, seed: int) -> Tensor:
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return (pictures - mean) * _each(values[:, 0]) + mean + _each(values[:, 1])


def _blur(pictures: Tensor, deviation: Tensor, seed: int) -> Tensor:
    """A separable Gaussian, five taps; a deviation of 0 leaves the picture as it is."""
    hit = deviation.nonzero()[:, 0]
    if not len(hit):
        return pictures
    distance = torch.arange(-2, 3, device=pictures.device, dtype=pictures.dtype)
    taps = torch.exp(-(distance**2) / (2 * deviation[hit, None] ** 2))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(pictures.shape[1], dim=0)
    some = pictures[hit]
    flat = functional.pad(some, (2, 2, 2, 2), mode="replicate").reshape(1, -1, some.shape[2] + 4, some.shape[3] + 4)
    flat = functional.conv2d(flat, taps[:, None, :, None], groups=len(taps))
    flat = functional.conv2d(flat, taps[:, None, None, :], groups=len(taps))
    return pictures.index_copy(0, hit, flat.reshape(some.shape))


def _bias_field(pictures: Tensor, field: Tensor, seed: int) -> Tensor:
    smooth = functional.interpolate(field[:, None], pictures.shape[2:], mode="bicubic", align_corners=False)
    return pictures + smooth


def _noise(pictures: Tensor, deviation: Tensor, seed: int) -> Tensor:
    hit = deviation.nonzero()[:, 0]
    if not len(hit):
        return pictures
    generator = torch.Generator(pictures.device).manual_seed(seed)
    some = pictures[hit]
    noise = torch.randn(some.shape, generator=generator, device=pictures.device, dtype=pictures.dtype)
    return pictures.index_copy(0, hit, some + noise * _each(deviation[hit]))
