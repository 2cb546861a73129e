"""One step of a CycleGAN (Zhu et al. 2017): the generators', then the discriminators'."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.models.cyclegan import Pair
from bioseg.recipe import AdversarialTraining, TranslationRecipe
from bioseg.training.losses import least_squares
from bioseg.training.pool import Pool
from bioseg.types import BiosegError


class CycleGan(nn.Module):
    """All that a run must keep: the generators, and for each side a discriminator and a pool of what was made for it."""

    def __init__(self, recipe: TranslationRecipe) -> None:
        """Build it with fresh weights and empty pools."""
        super().__init__()
        size, shape = recipe.training.pool, recipe.preparation.size_px
        self.pair = Pair(recipe.generator(), recipe.generator())
        self.of_source, self.of_target = recipe.discriminator(), recipe.discriminator()
        self.made_source, self.made_target = Pool(size, shape), Pool(size, shape)


def step(
    gan: CycleGan, optimiser: torch.optim.Optimizer, source: Tensor, target: Tensor, how: AdversarialTraining,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Fit all networks to some images of both sides.

    Both generators move together: each follows the gradient that the study gives it by itself, since the other's
    adversarial and identity losses do not depend on it.

    Args:
        gan: What is fitted.
        optimiser: Of all its parameters; it passes over those without a gradient, so each party moves by itself.
        source: [N, 1, rows, cols] in [−1, 1].
        target: The same of the other side; N may differ.
        how: Weights of the losses.
        rng: Chance of the pools.

    Returns:
        ``loss`` of the generators and its parts before they are weighted, ``adversarial``, ``identity`` and ``cycle``; and
        ``discriminators``, half the squared error on real and on made images. All summed over both sides.

    Raises:
        BiosegError: A loss is no number.
    """
    pair, far = gan.pair, functional.l1_loss
    for network in (gan.of_source, gan.of_target):
        network.requires_grad_(False)
    made_target, source_again = pair.there_and_back(source)
    made_source, target_again = pair.there_and_back(target, backwards=True)
    adversarial = least_squares(gan.of_target(made_target), real=True)
    adversarial = adversarial + least_squares(gan.of_source(made_source), real=True)
    identity = far(pair.forwards(target), target) + far(pair.backwards(source), source)
    cycle = far(source_again, source) + far(target_again, target)
    loss = adversarial + how.identity * identity + how.cycle * cycle
    _descend(optimiser, loss)

    for network in (gan.of_source, gan.of_target):
        network.requires_grad_(True)
    discriminators = _discerning(gan.of_source, source, gan.made_source.exchange(made_source, rng))
    discriminators = discriminators + _discerning(gan.of_target, target, gan.made_target.exchange(made_target, rng))
    _descend(optimiser, discriminators)
    parts = {
        "loss": loss, "adversarial": adversarial, "identity": identity, "cycle": cycle, "discriminators": discriminators,
    }  # fmt: skip
    return {name: part.item() for name, part in parts.items()}


def _discerning(discriminator: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    return (least_squares(discriminator(real), real=True) + least_squares(discriminator(made), real=False)) / 2


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    if not loss.isfinite():
        raise BiosegError(f"a loss is {loss.item()}; start again with --set training.learning_rate=… lower")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
