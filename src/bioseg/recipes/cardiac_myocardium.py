"""Cavity and myocardium of the left ventricle in MR, as two classes that exclude each other."""

from dataclasses import replace

from bioseg.classes import Classes
from bioseg.datasets.layouts import cardiac_lv as layout
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.recipes import cardiac_lv
from bioseg.specs import call
from bioseg.training import losses

RECIPE = replace(
    cardiac_lv.RECIPE,
    name="cardiac-myocardium",
    task="cavity and myocardium of the left ventricle in short-axis MR",
    purpose="both contours of a short-axis slice from one network",
    layout=call(layout.list_cavity_and_myocardium),
    preparation=replace(cardiac_lv.RECIPE.preparation, classes=Classes(("LV cavity", "myocardium"))),
    network=call(pretrained_unet, encoder="lite0", imagenet=True, outputs=2),
    training=replace(
        cardiac_lv.RECIPE.training, epochs=60, loss=call(losses.exclusive_cross_entropy_and_dice, classes=2)
    ),
)
