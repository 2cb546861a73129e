"""Settings and images for tests of augmentation."""

import numpy as np
import torch
from torch import Tensor

from bioseg.datasets.augment import Augmentation, apply, draw

GEOMETRY = {
    "rotation_deg": 30.0, "shift": 0.2, "shear_deg": 15.0, "zoom": (0.6, 1.6), "aspect": 1.5, "flip_rows": 1.0,
    "flip_cols": 1.0, "quarter_turns": True,
}  # fmt: skip
INTENSITY = {
    "gamma": 0.9, "contrast": 0.4, "offset": 0.2, "curve_chance": 0.5, "blur_px": 1.5, "noise": 0.08,
    "bias_field": 0.15, "convolution_chance": 0.5, "fourier_chance": 0.5,
    "inversion_chance": 0.5,
}  # fmt: skip
CHANCES = {
    "gamma": "gamma_chance", "blur_px": "blur_chance", "noise": "noise_chance", "bias_field": "bias_chance",
    "curve_chance": "curve_chance", "convolution_chance": "convolution_chance", "fourier_chance": "fourier_chance",
    "inversion_chance": "inversion_chance",
}  # fmt: skip


def blob(rows: int, cols: int, centre: tuple[float, float], sd: float = 6.0) -> Tensor:
    r, c = np.mgrid[:rows, :cols] + 0.5
    return torch.from_numpy(np.exp(-((r - centre[0]) ** 2 + (c - centre[1]) ** 2) / (2 * sd**2)))[None, None].float()


def smooth(count: int = 8, channels: int = 1, rows: int = 48, cols: int = 48) -> Tensor:
    coarse = torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (rows, cols), mode="bilinear")


def centre(plane: Tensor) -> tuple[float, float]:
    r, c = (index + 0.5 for index in np.indices(plane.shape))
    weights = plane.numpy().astype(float)
    return (r * weights).sum() / weights.sum(), (c * weights).sum() / weights.sum()


def changed(how: Augmentation, images: Tensor, masks: Tensor | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = draw(how, np.random.default_rng(seed), len(images), (images.shape[2], images.shape[3]))
    return apply(images, (images > 0.5).float() if masks is None else masks, drawn)
