"""Pneumonia boxes: a pretrained U-Net with fine edges that also says whether there is any; gate and size of boxes chosen."""

from dataclasses import replace

from bioseg.data import prepare, rsna, splits
from bioseg.data.augment import Augmentation
from bioseg.data.prepare import Preparation
from bioseg.inference.boxes import Boxes
from bioseg.inference.postprocess import Postprocess
from bioseg.models import pretrained_unet
from bioseg.recipe import SegmentationRecipe
from bioseg.training import choose
from bioseg.training.defaults import PRETRAINED
from bioseg.types import call

RECIPE = SegmentationRecipe(
    name="pneumonia",
    task="pneumonia in frontal chest X-rays",
    purpose="boxes with confidences, none where the picture as a whole looks clear",
    list_cases=call(rsna.list_boxes_or_masks),
    split=call(splits.by_patient, validation=0.1, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        intensity=(call(prepare.percentile_window, low=1.0, high=99.0),),
        fit="letterbox",
        truth=("inside", "anywhere"),
    ),
    network=call(pretrained_unet.pretrained_unet, encoder="lite0", imagenet=True, whole=True, momentum=0.1),
    training=replace(PRETRAINED, epochs=12),
    augmentation=Augmentation(
        rotation_deg=10.0, shift=0.06, shear_deg=3.0, zoom=(0.85, 1.2), flip_cols=0.5,
        gamma=0.4, contrast=0.2, offset=0.1, noise=0.03, blur_px=1.0,
    ),
    postprocess=Postprocess(boxes=Boxes()),
    choose=call(choose.boxes),
    flips=True,
)  # fmt: skip
