"""Lungs in CT slices: a U-Net with a pretrained encoder on Hounsfield units, threshold chosen on the validation set."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import ct_lungs
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess import choose
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training.defaults import PRETRAINED

RECIPE = SegmentationRecipe(
    name="ct-lungs",
    task="lungs in axial CT slices",
    purpose="the lungs of a CT slice in Hounsfield units",
    layout=call(ct_lungs.list_cases),
    split=call(splits.ordered, parts=(0.6, 0.2, 0.2), whole_patients=True),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        intensity=(call(prepare.fixed_window, low=-1000.0, high=400.0),),
        fit="letterbox",
    ),
    network=call(pretrained_unet, encoder="lite0", imagenet=True),
    training=replace(PRETRAINED, epochs=80),
    augmentation=Augmentation(
        rotation_deg=15.0, shift=0.1, shear_deg=5.0, zoom=(0.8, 1.25), flip_cols=0.5,
        gamma=0.2, contrast=0.1, offset=0.05, noise=0.03,
    ),
    choose=call(choose.threshold),
)  # fmt: skip
