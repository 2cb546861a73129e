"""Default training of a pretrained U-Net; each recipe changes what differs."""

from bioseg.recipe import Training
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

PRETRAINED = Training(
    loss=call(losses.cross_entropy_and_dice),
    optimiser=call(optimisers.adamw, weight_decay=1e-4),
    schedule=call(schedules.one_cycle),
    learning_rate=3e-3,
    encoder_learning_rate=3e-4,
    batch_size=8,
    validation_batch_size=8,
    bfloat16=True,
)
