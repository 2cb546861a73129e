"""Lungs in CT slices as published: a small U-Net on 128×128, light augmentation, learning rate decay from epoch 20."""

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import ct_lungs
from bioseg.evaluation import overlap
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.unet import ct_unet
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

RECIPE = SegmentationRecipe(
    name="ct-lungs-reference",
    task="lungs in axial CT slices",
    purpose="reproduces a published small U-Net on 267 slices",
    layout=call(ct_lungs.list_cases),
    split=call(splits.ordered, parts=(0.6, 0.2, 0.2)),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(128, 128),
        intensity=(call(prepare.min_max),),
        interpolation="lanczos",
        mask_interpolation="nearest",
    ),
    network=call(ct_unet),
    training=Training(
        loss=call(losses.binary_cross_entropy),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.decay_after, start=20, factor=0.1),
        learning_rate=1e-3,
        epochs=40,
        batch_size=16,
        validation_batch_size=16,
        seed=220,
    ),
    augmentation=Augmentation(rotation_deg=10.0, shift=0.1, zoom=(0.9, 1.1)),
    postprocess=Postprocess(threshold=0.1),
    evaluated_on="prepared",
    reference_scores=overlap.ct_scores,
)
