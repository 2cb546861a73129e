"""A training batch after the recipe's augmentation and the user's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from bioseg.datasets import augment
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError


def augmented(
    recipe: SegmentationRecipe, images: Tensor, masks: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images [N, channels, rows, cols] and targets [N, K, rows, cols], changed as the recipe says.

    Raises:
        BiosegError: See :func:`by_own`.
    """
    changes = augment.draw(recipe.augmentation, rng, len(images), (images.shape[-2], images.shape[-1]))
    images, masks = augment.apply(images, masks, changes, recipe.preparation.planes)
    return by_own(recipe.augment, images, masks, rng) if recipe.augment else (images, masks)


def by_own(
    function: Callable[..., Any], images: Tensor, masks: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A batch after a user's own function, see ``SegmentationRecipe.augment``.

    Raises:
        BiosegError: It returns something else than images and targets of the shapes they had.
    """
    wanted = [list(images.shape), list(masks.shape)]
    found = function(images, masks, rng)
    if not isinstance(found, tuple | list) or [list(getattr(one, "shape", ())) for one in found] != wanted:
        name, got = getattr(function, "name", "function"), type(found).__name__
        if isinstance(found, tuple | list):
            got = " and ".join(str(list(getattr(one, "shape", ()))) for one in found)
        raise BiosegError(f"augment: {name} returns {got}; it must return images {wanted[0]} and targets {wanted[1]}")
    return found[0], found[1]
