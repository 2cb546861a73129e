"""Lungs in chest X-rays as published: a U-Net from scratch on one hospital, five folds, small objects and holes removed."""

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import montgomery
from bioseg.evaluation import overlap
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.unet import cxr_unet
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

RECIPE = SegmentationRecipe(
    name="cxr-unet-reference",
    task="lungs in frontal chest X-rays",
    purpose="reproduces a published U-Net across hospitals; train it with --folds 5",
    layout=call(montgomery.list_cases),
    split=call(splits.random, test=0.2, seed=999, validation=0.0),  # the study validates in folds only
    fold=call(splits.k_fold, seed=999),
    preparation=Preparation(size_px=(256, 256), intensity=(call(prepare.min_max),)),
    network=call(cxr_unet),
    training=Training(
        loss=call(losses.binary_cross_entropy),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.plateau, factor=0.5, patience=15, min_delta=1e-4, cooldown=2, floor=1e-3),
        learning_rate=1e-3,
        epochs=80,
        batch_size=16,
        validation_batch_size=4,
        patience=15,
    ),
    augmentation=Augmentation(rotation_deg=10.0, shift=0.1, shear_deg=0.573, zoom=(0.8, 1.2)),  # .01 radian
    postprocess=Postprocess(min_object=0.02, max_hole=0.02),
    evaluated_on="prepared",
    reference_scores=overlap.cxr_scores,
)
