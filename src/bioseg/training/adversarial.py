"""One training step of a CycleGAN (Zhu et al. 2017): first the generators, then the discriminators."""

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
    """All that a run must save: the generators, and for each domain a discriminator and a pool of generated images."""

    def __init__(self, recipe: TranslationRecipe) -> None:
        """Build the recipe's networks with fresh weights, and empty pools."""
        super().__init__()
        size, shape = recipe.training.pool, recipe.preparation.size_px
        self.pair = Pair(recipe.generator(), recipe.generator())
        self.of_source, self.of_target = recipe.discriminator(), recipe.discriminator()
        self.made_source, self.made_target = Pool(size, shape), Pool(size, shape)


def step(
    gan: CycleGan, optimiser: torch.optim.Optimizer, source: Tensor, target: Tensor, how: AdversarialTraining,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Take one optimisation step of all four networks.

    Both generators are updated together. Each gets the gradient that the study gives it by itself, since the adversarial and
    identity losses of the other do not depend on it.

    Args:
        gan: The networks and pools; updated.
        optimiser: Of all parameters; it skips those without a gradient, so that generators and discriminators take turns.
        source: Images of the source domain, [N, 1, rows, cols] in [−1, 1].
        target: Images of the target domain; N may differ.
        how: Weights of the losses.
        rng: For the pools.

    Returns:
        ``loss`` of the generators, its unweighted parts ``adversarial``, ``identity`` and ``cycle``, and ``discriminators``,
        half the squared error on real and on generated images. All are summed over both domains.

    Raises:
        BiosegError: A loss is not finite.
    """
    pair, l1 = gan.pair, functional.l1_loss
    for network in (gan.of_source, gan.of_target):
        network.requires_grad_(False)
    fake_target, source_again = pair.there_and_back(source)
    fake_source, target_again = pair.there_and_back(target, backwards=True)
    adversarial = least_squares(gan.of_target(fake_target), real=True)
    adversarial = adversarial + least_squares(gan.of_source(fake_source), real=True)
    identity = l1(pair.forwards(target), target) + l1(pair.backwards(source), source)
    cycle = l1(source_again, source) + l1(target_again, target)
    loss = adversarial + how.identity * identity + how.cycle * cycle
    _update(optimiser, loss)

    for network in (gan.of_source, gan.of_target):
        network.requires_grad_(True)
    discriminators = _discriminator_loss(gan.of_source, source, gan.made_source.exchange(fake_source, rng))
    discriminators = discriminators + _discriminator_loss(
        gan.of_target, target, gan.made_target.exchange(fake_target, rng)
    )
    _update(optimiser, discriminators)
    parts = {
        "loss": loss, "adversarial": adversarial, "identity": identity, "cycle": cycle, "discriminators": discriminators,
    }  # fmt: skip
    return {name: part.item() for name, part in parts.items()}


def _discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return (least_squares(discriminator(real), real=True) + least_squares(discriminator(fake), real=False)) / 2


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    if not loss.isfinite():
        raise BiosegError(f"a loss is {loss.item()}; start again with a lower --set training.learning_rate=…")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
