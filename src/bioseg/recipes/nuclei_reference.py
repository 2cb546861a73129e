"""Cell nuclei as published: a small dropout U-Net on 128×128, early stopping, no augmentation."""

from bioseg.datasets import splits
from bioseg.datasets.layouts import nuclei
from bioseg.evaluation import overlap
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.unet import nuclei_unet
from bioseg.recipe import SegmentationRecipe, Training
from bioseg.specs import call
from bioseg.training import losses, optimisers, schedules

RECIPE = SegmentationRecipe(
    name="nuclei-reference",
    task="cell nuclei in microscopy",
    purpose="reproduces a published dropout U-Net on the Data Science Bowl 2018",
    layout=call(nuclei.list_cases),
    split=call(splits.ordered_tail, test=2, validation=0.1),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(128, 128),
        channels=3,
        intensity=(call(prepare.fixed_window, low=0, high=255),),
        mask_threshold=0.0,  # the study merges resized masks without a threshold: every pixel that a nucleus touches is foreground
        merge="after",
    ),
    network=call(nuclei_unet, in_channels=3),
    training=Training(
        loss=call(losses.binary_cross_entropy),
        optimiser=call(optimisers.adam),
        schedule=call(schedules.constant),
        learning_rate=1e-3,
        epochs=40,
        batch_size=16,
        validation_batch_size=16,
        patience=2,
    ),
    evaluated_on="prepared",
    reference_scores=overlap.nuclei_scores,
)
