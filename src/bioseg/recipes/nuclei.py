"""Cell nuclei one by one: a pretrained U-Net on pictures of their own size that draws insides and cores."""

from dataclasses import replace

from bioseg.data import nuclei, prepare, splits
from bioseg.data.augment import Augmentation
from bioseg.data.prepare import Preparation
from bioseg.inference.instances import Instances
from bioseg.inference.postprocess import Postprocess
from bioseg.models import pretrained_unet
from bioseg.recipe import SegmentationRecipe
from bioseg.training import choose
from bioseg.training.defaults import PRETRAINED
from bioseg.types import call

RECIPE = SegmentationRecipe(
    name="nuclei",
    task="cell nuclei in microscopy",
    purpose="tells touching nuclei apart, in dark, bright and stained pictures",
    list_cases=call(nuclei.list_cases),
    split=call(splits.ordered, parts=(0.8, 0.1, 0.1)),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        channels=3,
        intensity=(call(prepare.percentile_window, low=0.5, high=99.5),),
        fit="windows",
        truth=("inside", "core"),
    ),
    network=call(pretrained_unet.pretrained_unet, encoder="lite0", imagenet=True, outputs=2),
    training=replace(PRETRAINED, epochs=55),
    augmentation=Augmentation(
        rotation_deg=45.0, zoom=(0.7, 1.6), flip_rows=0.5, flip_cols=0.5, quarter_turns=True, fill="mirror",
        gamma=0.5, contrast=0.3, offset=0.1, blur_px=1.0, noise=0.04, inversion_chance=0.15,
    ),
    postprocess=Postprocess(instances=Instances()),
    choose=call(choose.objects),
    flips=True,
    turns=True,
)  # fmt: skip
