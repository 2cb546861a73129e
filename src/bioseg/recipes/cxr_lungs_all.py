"""Lungs in chest X-rays, learned from several hospitals, for people who just want lungs."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.layouts import chest_xrays
from bioseg.recipes import cxr_lungs
from bioseg.specs import call

RECIPE = replace(
    cxr_lungs.RECIPE,
    name="cxr-lungs-all",
    purpose="for people who just want lungs; learned from Montgomery, JSRT and Shenzhen together",
    layout=call(chest_xrays.list_cases),
    split=call(splits.each_source, test=0.2, seed=999, validation=0.1),
    augmentation=replace(cxr_lungs.RECIPE.augmentation, fourier_chance=0.0, convolution_chance=0.5),
    training=replace(cxr_lungs.RECIPE.training, epochs=40),
)
