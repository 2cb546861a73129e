"""Chest X-rays translated from one hospital to another, as published: the CycleGAN with residual generators."""

from dataclasses import replace

from bioseg.models import cyclegan
from bioseg.recipes import cxr_cyclegan_unet
from bioseg.specs import call

RECIPE = replace(
    cxr_cyclegan_unet.RECIPE,
    name="cxr-cyclegan-resnet",
    generator=call(cyclegan.resnet_generator, width=64),
    training=replace(cxr_cyclegan_unet.RECIPE.training, epochs=150),
)
