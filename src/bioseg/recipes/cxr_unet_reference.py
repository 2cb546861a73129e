"""Lungs in chest X-rays as published: a U-Net from scratch on one hospital, five folds, 2 % clean-up."""

from bioseg.data import montgomery, prepare, splits
from bioseg.data.augment import Augmentation
from bioseg.data.prepare import Preparation
from bioseg.evaluation import overlap
from bioseg.inference.postprocess import Postprocess
from bioseg.models import unet
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.training import losses, optimisers, schedules
from bioseg.types import call

RECIPE = SegmentationRecipe(
    name="cxr-unet-reference",
    task="lungs in frontal chest X-rays",
    purpose="reproduces a published U-Net across hospitals; train it with --folds 5",
    list_cases=call(montgomery.list_cases),
    split=call(splits.random, test=0.2, seed=999, validation=0.0),  # the study validates in folds only
    fold=call(splits.k_fold, seed=999),
    preparation=Preparation(size_px=(256, 256), intensity=(call(prepare.min_max),)),
    network=call(unet.cxr_unet),
    training=Training(
        loss=call(losses.binary_cross_entropy),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.plateau, factor=0.5, patience=15, min_delta=1e-4, cooldown=2, floor=1e-3),
        rate=1e-3,
        epochs=80,
        batch=16,
        validation_batch=4,
        patience=15,
    ),
    augmentation=Augmentation(rotation_deg=10.0, shift=0.1, shear_deg=0.573, zoom=(0.8, 1.2)),  # .01 radian
    postprocess=Postprocess(min_object=0.02, max_hole=0.02),
    judged_on="prepared",
    reference_scores=overlap.cxr_scores,
)
