"""Pneumonia boxes as published: a residual network without a decoder, boxes around the parts of its map."""

from bioseg.data import prepare, rsna, splits
from bioseg.data.augment import Augmentation
from bioseg.data.prepare import Preparation
from bioseg.evaluation import overlap
from bioseg.inference.boxes import Boxes
from bioseg.inference.postprocess import Postprocess
from bioseg.models import residual_fcn
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.training import losses, optimisers, schedules
from bioseg.types import call

RECIPE = SegmentationRecipe(
    name="pneumonia-reference",
    task="pneumonia in frontal chest X-rays",
    purpose="reproduces a published residual network on the RSNA challenge",
    list_cases=call(rsna.list_boxes_or_masks),
    split=call(splits.by_patient, validation=2560 / 26684, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(size_px=(256, 256), intensity=(call(prepare.fixed_window, low=0.0, high=255.0),)),
    network=call(residual_fcn.residual_fcn),
    training=Training(
        loss=call(losses.half_cross_entropy_half_iou),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.cosine, length=25),
        rate=1e-3,
        epochs=10,
        batch=32,
        validation_batch=32,
    ),
    augmentation=Augmentation(flip_cols=0.5),
    postprocess=Postprocess(boxes=Boxes()),
    reference_scores=overlap.pneumonia_scores,
)
