"""Augmentation of whole batches: draw the parameters, then apply them to pictures and masks alike.

Geometry is one affine map a picture; intensity is a chain of cheap steps. Both run where the batch lies.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How much a picture may be changed; all 0 changes nothing.

    Geometry, for picture and mask alike: ``rotation_deg`` up to ± degrees; ``shift`` up to ± a share of each side;
    ``shear_deg`` up to ± degrees; ``zoom`` between two factors (below 1 the content shrinks); ``flip_rows`` and
    ``flip_cols``, chance of an upside-down and a mirrored picture; ``quarter_turns`` by 0, 90, 180 or 270° (square
    grids only). ``fill``: what comes in from outside, the nearest edge or zeros (masks always get zeros with the latter).

    Intensity, for the picture alone, each with the chance that a picture gets it: ``gamma`` g: x to the power of
    exp(±g); ``contrast`` c: (x − mean) · (1 ± c) + mean; ``offset`` o: x ± o; ``curve``: a two-piece line through a
    random knee; ``blur``: a 5×5 Gaussian of up to so many px; ``noise`` up to this SD; ``bias_field``: a smooth field of
    this SD is added; ``convolution``: mixed with a randomly filtered copy; ``inversion``: x becomes 1 − x.
    """

    rotation_deg: float = 0.0
    shift: float = 0.0
    shear_deg: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    flip_rows: float = 0.0
    flip_cols: float = 0.0
    quarter_turns: bool = False
    fill: Literal["nearest", "zero"] = "nearest"
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
    inversion_chance: float = 0.0


def strong_intensity(how: Augmentation) -> Augmentation:
    """``how`` with the intensity changes under which lungs of unseen hospitals were outlined best (docs/results.md)."""
    return replace(how, gamma=0.9, contrast=0.4, offset=0.2, curve_chance=0.3, blur_px=1.5, noise=0.08, bias_field=0.15)


@dataclass(frozen=True, eq=False)
class Turn:
    """What was drawn for one batch; a step nobody got is None.

    Attributes:
        affine: [N, 2, 3], from output to input in [−1, 1] coordinates (x along cols, then y along rows).
        fill: As in :class:`Augmentation`.
        steps: (name, parameters [N, …]) in the order they are applied; a picture that is spared has neutral ones.
        seed: For the noise of pixels.
    """

    affine: Numbers | None
    fill: Literal["nearest", "zero"]
    steps: tuple[tuple[str, Numbers], ...]
    seed: int


def draw(how: Augmentation, rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Turn:
    """Draw the changes of ``count`` pictures of ``shape`` (rows, cols); ``rng`` is the only source of chance."""

    def within(limit: float) -> Numbers:
        return rng.uniform(-limit, limit, count).astype(np.float32)

    def spared(values: Numbers, chance: float, neutral: float = 0.0) -> Numbers:
        hit = (rng.random(count) < chance).reshape(-1, *[1] * (values.ndim - 1))
        return np.where(hit, values, np.float32(neutral)).astype(np.float32)

    affine = _draw_affine(how, rng, count, shape)
    steps: list[tuple[str, Numbers]] = []
    if how.inversion_chance:
        steps.append(("inversion", spared(np.ones(count, np.float32), how.inversion_chance)))
    if how.convolution_chance:
        kernels = rng.standard_normal((count, 5, 5)).astype(np.float32)
        share = spared(rng.random(count).astype(np.float32), how.convolution_chance)
        steps.append(("convolution", np.concatenate([kernels.reshape(count, -1), share[:, None]], axis=1)))
    if how.gamma:
        steps.append(("gamma", spared(within(how.gamma), how.gamma_chance)))
    if how.curve_chance:
        knee = rng.uniform(0.2, 0.8, (count, 2)).astype(np.float32)
        steps.append(("curve", spared(knee, how.curve_chance, neutral=0.5)))
    if how.contrast or how.offset:
        steps.append(("contrast", np.stack([1 + within(how.contrast), within(how.offset)], axis=1)))
    if how.blur_px:
        steps.append(("blur", spared(rng.uniform(0.3, how.blur_px, count).astype(np.float32), how.blur_chance)))
    if how.bias_field:
        field = rng.normal(0, how.bias_field, (count, 4, 4)).astype(np.float32)
        steps.append(("bias_field", spared(field, how.bias_chance)))
    if how.noise:
        steps.append(("noise", spared(rng.uniform(0, how.noise, count).astype(np.float32), how.noise_chance)))
    return Turn(affine, how.fill, tuple(steps), int(rng.integers(2**31)) if steps else 0)


def apply(pictures: Tensor, masks: Tensor, turn: Turn) -> tuple[Tensor, Tensor]:
    """Change a batch as drawn.

    Args:
        pictures: [N, channels, rows, cols] in [0, 1].
        masks: [N, K, rows, cols], 0 or 1.
        turn: Of :func:`draw` for N pictures of this size.

    Returns:
        New tensors of the same shapes; pictures still in [0, 1], masks still 0 or 1.
    """
    if turn.affine is not None:
        moved = _move(torch.cat([pictures, masks], dim=1), turn.affine, turn.fill)
        pictures, masks = moved[:, : pictures.shape[1]], (moved[:, pictures.shape[1] :] > 0.5).to(masks.dtype)
    for name, parameters in turn.steps:
        values = torch.from_numpy(parameters).to(pictures.device)
        pictures = _STEPS[name](pictures, values, turn.seed)
    return (pictures.clamp(0, 1) if turn.steps else pictures), masks


def _draw_affine(how: Augmentation, rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Numbers | None:
    plain = Augmentation(fill=how.fill)
    geometry = ("rotation_deg", "shift", "shear_deg", "zoom", "flip_rows", "flip_cols", "quarter_turns")
    if all(getattr(how, name) == getattr(plain, name) for name in geometry):
        return None
    angle = np.deg2rad(rng.uniform(-how.rotation_deg, how.rotation_deg, count))
    if how.quarter_turns and shape[0] == shape[1]:
        angle += np.pi / 2 * rng.integers(0, 4, count)
    shear = np.tan(np.deg2rad(rng.uniform(-how.shear_deg, how.shear_deg, count)))
    # One factor for both axes: its logarithm is uniform, so that halving is as likely as doubling.
    zoom = np.exp(rng.uniform(np.log(how.zoom[0]), np.log(how.zoom[1]), count))
    shift = rng.uniform(-how.shift, how.shift, (count, 2)) * 2
    mirror = np.where(rng.random((count, 2)) < (how.flip_cols, how.flip_rows), -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin + cos * shear], 1), np.stack([sin, cos + sin * shear], 1)], 1)
    turn = turn * (mirror / zoom[:, None])[:, :, None]
    # Turn in px, not in [−1, 1] coordinates, so that circles stay circles on oblong grids.
    rows, cols = shape
    turn[:, 0, 1] *= rows / cols
    turn[:, 1, 0] *= cols / rows
    return np.concatenate([turn, shift[:, :, None]], axis=2).astype(np.float32)


def _move(batch: Tensor, affine: Numbers, fill: str) -> Tensor:
    matrix = torch.from_numpy(affine).to(batch.device, batch.dtype)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    padding = "border" if fill == "nearest" else "zeros"
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


def _gamma(pictures: Tensor, exponent: Tensor, seed: int) -> Tensor:
    return pictures.clamp_min(1e-6) ** _each(exponent.exp())


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


_STEPS: dict[str, Any] = {
    "inversion": _inversion,
    "convolution": _convolution,
    "gamma": _gamma,
    "curve": _curve,
    "contrast": _contrast,
    "blur": _blur,
    "bias_field": _bias_field,
    "noise": _noise,
}
