"""Lungs in chest X-rays as published: an enhanced U-Net with an EfficientNet-B7 encoder, Dice loss over the batch."""

from dataclasses import replace

from bioseg.models import enhanced_unet
from bioseg.recipe import Training
from bioseg.recipes import cxr_unet_reference
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

RECIPE = replace(
    cxr_unet_reference.RECIPE,
    name="cxr-enhanced-reference",
    purpose="reproduces a published enhanced U-Net across hospitals; needs a GPU, or --set network.encoder=lite0",
    network=call(enhanced_unet.enhanced_unet, encoder="b7", imagenet=False),
    training=Training(
        loss=call(losses.soft_dice, smoothing=1.0),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.plateau, factor=0.5, patience=50, min_delta=1e-4, cooldown=2, floor=1e-2),
        learning_rate=1e-4,
        epochs=250,
        batch_size=8,
        validation_batch_size=4,
        patience=50,
    ),
)
