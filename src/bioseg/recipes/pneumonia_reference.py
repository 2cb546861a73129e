"""Pneumonia boxes as published: a residual network without a decoder, boxes around the parts of its map."""

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import rsna
from bioseg.evaluation import overlap
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models import residual_fcn
from bioseg.postprocess.boxes import Boxes
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

RECIPE = SegmentationRecipe(
    name="pneumonia-reference",
    task="pneumonia in frontal chest X-rays",
    purpose="reproduces a published residual network on the RSNA challenge",
    layout=call(rsna.list_cases),
    split=call(splits.by_patient, validation=2560 / 26684, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(size_px=(256, 256), intensity=(call(prepare.fixed_window, low=0.0, high=255.0),)),
    network=call(residual_fcn.residual_fcn),
    training=Training(
        loss=call(losses.half_cross_entropy_half_iou),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.cosine, length=25),
        learning_rate=1e-3,
        epochs=10,
        batch_size=32,
        validation_batch_size=32,
    ),
    augmentation=Augmentation(flip_cols=0.5),
    postprocess=Postprocess(boxes=Boxes()),
    reference_scores=overlap.pneumonia_scores,
)
