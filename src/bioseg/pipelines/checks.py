"""What is asked of a recipe before anything is trained."""

from collections.abc import Sequence

import numpy as np
import torch

from bioseg.datasets import kinds
from bioseg.pipelines.open import blank
from bioseg.recipe import SegmentationRecipe
from bioseg.training.augmented import by_own
from bioseg.types import BiosegError, Case

CLASS_CASES = 12
"""Cases whose masks are looked at for classes."""


def merged_classes(recipe: SegmentationRecipe, cases: Sequence[Case]) -> list[str]:
    """A warning where masks show several classes and the recipe takes everything as one."""
    if not recipe.preparation.classes.whole:
        return []
    kind = kinds.of_cases(cases, CLASS_CASES)
    if kind.what != "classes":
        return []
    return [
        f"warning: masks show {kind.reason}; this recipe takes them as one class, `bioseg train auto` tells them apart"
    ]


def check_network(recipe: SegmentationRecipe) -> None:
    """Refuse a network, a loss or an augmentation that cannot take what the preparation gives it, on one image of zeros.

    Raises:
        BiosegError: The network returns something else than a plane per target, or one of them fails.
    """
    rows, cols = recipe.preparation.size_px
    images = torch.zeros(1, recipe.preparation.channels, rows, cols)
    wanted = (1, len(recipe.preparation.planes), rows, cols)
    try:
        if recipe.augment:
            by_own(recipe.augment, images.clone(), torch.zeros(wanted), np.random.default_rng(0))
        network = blank(recipe.network).eval()
        with torch.inference_mode():
            logits = network(images)
        found = tuple(logits.shape)
        if found == wanted:
            recipe.training.loss(logits, torch.zeros(wanted)).item()
    except BiosegError:
        raise
    except Exception as fault:  # of any kind: it may be a user's
        line = f"{type(fault).__name__}: {fault}".splitlines()[0]
        used = filter(None, (recipe.network, recipe.training.loss, recipe.augment))
        raise BiosegError(f"network: {', '.join(one.name for one in used)}: {line}; mend the recipe") from None
    if found != wanted:
        raise BiosegError(
            f"network: {recipe.network.name} turns {list(images.shape)} into {list(found)}; preparation.classes, targets "
            f"and size_px want {list(wanted)}"
        )
