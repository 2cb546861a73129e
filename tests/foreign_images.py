"""Images that are no frontal chest X-ray, for a model of lungs to refuse. All [rows, cols], 8 bits."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

Bytes = NDArray[np.uint8]


def cat(size_px: int) -> Bytes:
    """A photograph, grey; it comes with scikit-image."""
    photo = data.chelsea().mean(axis=-1)
    return ndimage.zoom(photo, (size_px / photo.shape[0], size_px / photo.shape[1]), order=1).round().astype(np.uint8)


def black(size_px: int) -> Bytes:
    return np.zeros((size_px, size_px), np.uint8)


def hand(size_px: int) -> Bytes:
    """An X-ray of a hand: soft tissue, the bones of palm and five fingers in it, joints between them."""
    r, c = _grid(size_px)
    tissue, bone = np.hypot((r - 0.72) / 0.2, (c - 0.5) / 0.2) < 1, np.zeros_like(r, dtype=bool)
    for angle, length in ((-55, 0.34), (-22, 0.52), (-5, 0.58), (12, 0.54), (30, 0.44)):
        down, across = -np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        along = (r - 0.78) * down + (c - 0.5) * across
        beside = abs((c - 0.5) * down - (r - 0.78) * across)
        inside = (along > 0) & (along < length)
        tissue |= inside & (beside < 0.05)
        bone |= inside & (beside < 0.02) & ((along % 0.16) > 0.015)
    tissue |= (r > 0.8) & (abs(c - 0.5) < 0.13)
    bone |= (r > 0.84) & (abs(abs(c - 0.5) - 0.06) < 0.035)
    return _exposed(0.05 + 0.3 * tissue + 0.45 * bone, size_px, 1)


def lateral(size_px: int) -> Bytes:
    """A chest X-ray from the side: one dark field between breastbone and spine, a heart in front, one diaphragm."""
    r, c = _grid(size_px)
    body = np.hypot((r - 0.6) / 0.62, (c - 0.5) / 0.36) < 1
    spine = abs(c - 0.74 - 0.06 * np.sin(3 * r)) < 0.05
    lung = (np.hypot((r - 0.45) / 0.33, (c - 0.5) / 0.22) < 1) & (r < 0.72 - 0.25 * (c - 0.5))
    heart = np.hypot((r - 0.62) / 0.14, (c - 0.38) / 0.11) < 1
    values = 0.06 + 0.55 * body - 0.3 * lung + 0.22 * heart + 0.25 * (spine & body)
    return _exposed(values + 0.04 * np.cos(2 * np.pi * (12 * r + 3 * c)) * lung, size_px, 2)


FOREIGN: dict[str, Callable[[int], Bytes]] = {"cat": cat, "hand": hand, "black": black, "lateral": lateral}


def _grid(size_px: int) -> NDArray[np.float64]:
    """Row and column of each pixel as shares of the side."""
    return (np.mgrid[0:size_px, 0:size_px] + 0.5) / size_px


def _exposed(values: NDArray[np.float64], size_px: int, seed: int) -> Bytes:
    """Blurred a little, with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.02, values.shape)
    return (np.clip(ndimage.gaussian_filter(values, size_px / 200) + noise, 0, 1) * 255).round().astype(np.uint8)
