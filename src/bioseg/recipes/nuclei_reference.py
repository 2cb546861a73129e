"""Cell nuclei as published: a small dropout U-Net on 128×128, early stopping, no augmentation."""

from bioseg.data import nuclei, prepare, splits
from bioseg.data.prepare import Preparation
from bioseg.evaluation import overlap
from bioseg.models import unet
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.training import losses, optimisers, schedules
from bioseg.types import call

RECIPE = SegmentationRecipe(
    name="nuclei-reference",
    task="cell nuclei in microscopy",
    purpose="reproduces a published dropout U-Net on the Data Science Bowl 2018",
    list_cases=call(nuclei.list_cases),
    split=call(splits.ordered_tail, test=2, validation=0.1),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(128, 128),
        channels=3,
        intensity=(call(prepare.fixed_window, low=0, high=255),),
        mask_threshold=0.0,  # the study unites resized masks without a threshold: whatever a nucleus touches is inside
        unite="after",
    ),
    network=call(unet.nuclei_unet, in_channels=3),
    training=Training(
        loss=call(losses.binary_cross_entropy),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.constant),
        rate=1e-3,
        epochs=40,
        batch=16,
        validation_batch=16,
        patience=2,
    ),
    judged_on="prepared",
    reference_scores=overlap.nuclei_scores,
)
