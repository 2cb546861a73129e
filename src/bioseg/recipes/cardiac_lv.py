"""The left ventricle in MR: a U-Net with a pretrained encoder on the central part of the slice, split by patient."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import cardiac_lv
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training import losses
from bioseg.training.defaults import PRETRAINED

RECIPE = SegmentationRecipe(
    name="cardiac-lv",
    task="left ventricle in short-axis MR",
    purpose="the cavity of the left ventricle in a short-axis slice",
    layout=call(cardiac_lv.list_cases),
    split=call(splits.by_patient, validation=0.2, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(160, 160),
        crop_px=(128, 128),
        intensity=(call(prepare.percentile_window, low=1.0, high=99.0),),
        interpolation="bicubic",
    ),
    network=call(pretrained_unet, encoder="lite0", imagenet=True),
    training=replace(PRETRAINED, epochs=25, loss=call(losses.cross_entropy_and_image_dice)),
    augmentation=Augmentation(
        rotation_deg=30.0, shift=0.1, shear_deg=5.0, zoom=(0.75, 1.33),
        gamma=0.5, contrast=0.3, offset=0.1, blur_px=1.0, noise=0.05, bias_field=0.1,
    ),
    postprocess=Postprocess(keep_largest=1, never_empty=True),
)  # fmt: skip
