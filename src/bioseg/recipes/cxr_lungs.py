"""Lungs in chest X-rays of any hospital, trained on one: strong intensity augmentation, Fourier mixing, distractors."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation, strong_intensity
from bioseg.datasets.layouts import montgomery
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.fit import fit_quality
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training.defaults import PRETRAINED

RECIPE = SegmentationRecipe(
    name="cxr-lungs",
    task="lungs in frontal chest X-rays",
    purpose="generalises to hospitals it has not seen; trained on one",
    layout=call(montgomery.list_cases),
    split=call(splits.random, test=0.2, seed=999, validation=0.1),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        intensity=(call(prepare.percentile_window, low=1.0, high=99.0), call(prepare.chest_upright)),
    ),
    network=call(pretrained_unet, encoder="lite0", widths=(128, 64, 48, 32), imagenet=True, momentum=0.1),
    training=replace(PRETRAINED, epochs=150),
    augmentation=strong_intensity(
        Augmentation(
            rotation_deg=15.0, shift=0.1, shear_deg=5.0, zoom=(0.7, 1.3), aspect=1.3, flip_cols=0.5,
            fourier_chance=0.5, inversion_chance=0.15, distractors=3,
        )
    ),
    postprocess=Postprocess(min_object=0.005, max_hole=0.02, keep_largest=2),
    tta="flip",
    quality=call(fit_quality, flag_below=0.9),
)  # fmt: skip
