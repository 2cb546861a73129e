"""Pneumonia boxes: a U-Net with a pretrained encoder and a presence head; thresholds and box size chosen on validation cases."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import rsna
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess import choose
from bioseg.postprocess.boxes import Boxes
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training.defaults import PRETRAINED

RECIPE = SegmentationRecipe(
    name="pneumonia",
    task="pneumonia in frontal chest X-rays",
    purpose="boxes with confidence scores; none where the image as a whole looks clear",
    layout=call(rsna.list_cases),
    split=call(splits.by_patient, validation=0.1, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        intensity=(call(prepare.percentile_window, low=1.0, high=99.0),),
        fit="letterbox",
        targets=("foreground", "presence"),
    ),
    network=call(pretrained_unet, encoder="lite0", imagenet=True, presence=True, momentum=0.1),
    training=replace(PRETRAINED, epochs=12),
    augmentation=Augmentation(
        rotation_deg=10.0, shift=0.06, shear_deg=3.0, zoom=(0.85, 1.2), flip_cols=0.5,
        gamma=0.4, contrast=0.2, offset=0.1, noise=0.03, blur_px=1.0,
    ),
    postprocess=Postprocess(boxes=Boxes()),
    choose=call(choose.boxes),
    tta="flip",
)  # fmt: skip
