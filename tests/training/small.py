"""A training that takes a second: random images, a network of two convolutions, every augmentation."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from bioseg import recipes
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import InMemory
from bioseg.images.prepare import Preparation
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.types import Case

SIZE = 64
RECORD = {"format": 2, "name": "small", "recipe": {}, "fingerprint": "f", "split": "s"}
EVERYTHING = Augmentation(
    rotation_deg=20.0, shift=0.1, zoom=(0.8, 1.2), gamma=0.3, contrast=0.2, offset=0.1, noise=0.1, blur_px=1.0,
    bias_field=0.2, distractors=2, fourier_chance=0.5, inversion_chance=0.5, convolution_chance=0.5, curve_chance=0.5,
    noise_chance=1.0, bias_chance=1.0,
)  # fmt: skip

SHORT = {"epochs": 1, "batch_size": 2, "validation_batch_size": 2, "encoder_learning_rate": None}


class Small(nn.Module):
    """Two convolutions, batch norm and dropout, all of which a resumed run has to reproduce."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 1, 1)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(images)
        return logits


def samples(count: int, seed: int, size: int = SIZE) -> InMemory:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, size, size, generator=generator)
    masks = (images > 0.5).to(torch.uint8)
    cases = [Case(str(index), str(index), Path(f"{index}.png")) for index in range(count)]
    return InMemory(cases, (), images, masks)


def segmentation(**training: object) -> SegmentationRecipe:
    recipe = recipes.get("cxr-lungs")
    assert isinstance(recipe, SegmentationRecipe)
    return replace(
        recipe,
        preparation=Preparation(size_px=(SIZE, SIZE)),
        network=call(Small),
        augmentation=EVERYTHING,
        training=replace(recipe.training, **{**SHORT, **training}),
    )
