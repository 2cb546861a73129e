"""What a training that starts from another model does differently."""

from dataclasses import replace

from torch.nn import Module

from bioseg.recipe import SegmentationRecipe
from bioseg.specs import Call

SLOWER = 3.0
"""The initial model's learning rates are divided by this; see docs/results.md."""
STEPS = 120
"""About so many steps are taken, however large the batches; fewer were too few, see LOG.md."""
FEWEST, MOST = 15, 60
"""Epochs."""
FEW = 50
"""Fewer training cases than this choose no thresholds and fit no quality model: too few are held out."""


def adapted(
    recipe: SegmentationRecipe, base: SegmentationRecipe, count: int, *, tuned: bool = False
) -> tuple[SegmentationRecipe, list[str]]:
    """Preparation and network of the initial model, and a short training at lower learning rates.

    Args:
        recipe: As it configured itself from the data; its classes, loss, augmentation and postprocessing stay.
        base: Of the initial model.
        count: Training cases.
        tuned: The initial model was itself started from another: its learning rates are low already.

    Returns:
        The recipe, and what was chosen and why, a line each.
    """
    how, own = base.training, recipe.preparation
    batch_size = max(1, min(how.batch_size, count // 2))
    epochs = round(min(max(STEPS * batch_size / max(1, count), FEWEST), MOST))
    slower = 1.0 if tuned else SLOWER
    training = replace(
        how,
        loss=recipe.training.loss,
        learning_rate=how.learning_rate / slower,
        encoder_learning_rate=how.encoder_learning_rate and how.encoder_learning_rate / slower,
        epochs=epochs,
        batch_size=batch_size,
        validation_batch_size=batch_size,
        patience=None,
    )
    rows, cols = base.preparation.size_px
    reasons = [
        f"as the initial model: size {rows}×{cols}, window, channels, network",
        f"{epochs} epochs in batches of {batch_size}: about {STEPS} steps refine weights that fit already; {count} images",
        f"learning rate {training.learning_rate:.2g}: {'that' if tuned else 'a third of that'} of the initial model",
    ]
    few = count < FEW
    if few and (recipe.choose or recipe.quality):
        reasons.append(f"thresholds stay, no quality model: fewer than {FEW} images to train on")
    fitted = replace(
        recipe,
        preparation=replace(base.preparation, targets=own.targets, classes=own.classes),
        network=_with_outputs_of(base.network, recipe.network),
        training=training,
        choose=None if few else recipe.choose,
        quality=None if few else recipe.quality,
    )
    return fitted, reasons


def _with_outputs_of(network: Call[Module], other: Call[Module]) -> Call[Module]:
    """``network`` with as many outputs as ``other``, where it is of the same kind."""
    if network.function is not other.function or network == other:
        return network
    rest = {name: value for name, value in network.arguments if name not in ("outputs", "presence")}
    rest |= {name: value for name, value in other.arguments if name in ("outputs", "presence")}
    return Call(network.function, tuple(rest.items()))
