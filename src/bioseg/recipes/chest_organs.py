"""Left lung, right lung and heart in chest X-rays."""

from dataclasses import replace

from bioseg.classes import Classes
from bioseg.datasets import splits
from bioseg.datasets.layouts import jsrt
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.recipes import cxr_lungs
from bioseg.specs import call
from bioseg.training import losses

RECIPE = SegmentationRecipe(
    name="chest-organs",
    task="left lung, right lung and heart in frontal chest X-rays",
    purpose="organs told apart, for measures such as the cardiothoracic ratio",
    layout=call(jsrt.list_organs),
    split=call(splits.by_patient, validation=0.2, test=0.2, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=replace(cxr_lungs.RECIPE.preparation, classes=Classes(("left lung", "right lung", "heart"))),
    network=call(
        pretrained_unet,
        encoder="lite0", widths=(128, 64, 48, 32), imagenet=True, momentum=0.1, outputs=3,
    ),
    training=replace(
        cxr_lungs.RECIPE.training, epochs=30, loss=call(losses.exclusive_cross_entropy_and_dice, classes=3)
    ),
    augmentation=replace(cxr_lungs.RECIPE.augmentation, flip_cols=0.0),  # mirrored, a left lung would be a right one
    postprocess=Postprocess(keep_largest=1, max_hole=0.02),
)  # fmt: skip
