"""Chest X-rays translated from one hospital to another, as published: the CycleGAN with U-Net generators."""

from bioseg.datasets import folders, splits
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.models import cyclegan
from bioseg.recipe import AdversarialTraining, TranslationRecipe
from bioseg.specs import call
from bioseg.training import optimisers, schedules

RECIPE = TranslationRecipe(
    name="cxr-cyclegan-unet",
    task="chest X-rays translated from one hospital to another",
    purpose="reproduces a published CycleGAN from JSRT to Montgomery",
    layout=call(folders.list_images),
    split_source=call(splits.random, test=0.67, seed=999),
    split_target=call(splits.random, test=0.4, seed=999),
    preparation=Preparation(size_px=(256, 256), intensity=(call(prepare.min_max),)),
    generator=call(cyclegan.unet_generator, width=64),
    discriminator=call(cyclegan.discriminator, width=64),
    training=AdversarialTraining(
        optimiser=call(optimisers.adam, beta1=0.5),
        schedule=call(schedules.constant),
        learning_rate=2e-4,
        epochs=200,
        batch_size=1,
        identity=5.0,
        cycle=10.0,
        pool=50,
        keep_every=5,
    ),
)
