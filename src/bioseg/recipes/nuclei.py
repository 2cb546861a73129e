"""Cell nuclei as instances: a U-Net with a pretrained encoder on patches, with foreground and marker heads."""

from dataclasses import replace

from bioseg.datasets import splits
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.layouts import nuclei
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess import choose
from bioseg.postprocess.instances import Instances
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training.defaults import PRETRAINED

RECIPE = SegmentationRecipe(
    name="nuclei",
    task="cell nuclei in microscopy",
    purpose="separates touching nuclei, in fluorescence, bright-field and stained images",
    layout=call(nuclei.list_cases),
    split=call(splits.ordered, parts=(0.8, 0.1, 0.1)),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(
        size_px=(256, 256),
        channels=3,
        intensity=(call(prepare.percentile_window, low=0.5, high=99.5),),
        fit="patches",
        targets=("foreground", "marker"),
    ),
    network=call(pretrained_unet, encoder="lite0", imagenet=True, outputs=2),
    training=replace(PRETRAINED, epochs=55),
    augmentation=Augmentation(
        rotation_deg=45.0, zoom=(0.7, 1.6), flip_rows=0.5, flip_cols=0.5, quarter_turns=True, fill="mirror",
        gamma=0.5, contrast=0.3, offset=0.1, blur_px=1.0, noise=0.04, inversion_chance=0.15,
    ),
    postprocess=Postprocess(instances=Instances()),
    choose=call(choose.objects),
    tta="dihedral",
)  # fmt: skip
