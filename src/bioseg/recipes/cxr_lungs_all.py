"""Lungs in chest X-rays, trained on several hospitals: the one to take for segmenting lungs."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.layouts import chest_xrays
from bioseg.recipes import cxr_lungs
from bioseg.specs import call

RECIPE = replace(
    cxr_lungs.RECIPE,
    name="cxr-lungs-all",
    purpose="the one to take for lungs; trained on Montgomery, JSRT and Shenzhen together",
    layout=call(chest_xrays.list_cases),
    split=call(splits.each_source, test=0.2, seed=999, validation=0.1),
    augmentation=replace(cxr_lungs.RECIPE.augmentation, fourier_chance=0.0, convolution_chance=0.5),
    training=replace(cxr_lungs.RECIPE.training, epochs=40),
)
