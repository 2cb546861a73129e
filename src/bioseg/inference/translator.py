"""A trained CycleGAN as its user sees it: an image in, the same in the look of the other side out, in its own size."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bioseg.images.formats import RawImage
from bioseg.images.prepare import Placement, prepare_image, restore, to_bytes
from bioseg.inference import device as devices
from bioseg.models.cyclegan import Pair
from bioseg.recipe import TranslationRecipe
from bioseg.types import ImageArray


class Translator:
    """Both generators of one recipe."""

    def __init__(self, pair: Pair, recipe: TranslationRecipe, device: torch.device) -> None:
        """Move ``pair`` to ``device`` and switch it to evaluation."""
        self.recipe, self.device = recipe, device
        self.pair = pair.eval()
        devices.place(self.pair, device)

    def translate(self, raw_image: RawImage, *, backwards: bool = False) -> RawImage:
        """An image of the source as the target would have it; ``backwards`` the other way.

        Returns:
            8 bits of grey on the image's own grid, as a PNG of it would be read.
        """
        image, placement = self._prepared(raw_image)
        with torch.inference_mode():
            made = (self.pair.backwards if backwards else self.pair.forwards)(image)
        pixels = to_bytes(_unit(made, placement))
        return replace(raw_image, pixels=pixels, inverted=False, slope=1.0, intercept=0.0, white=255.0)

    def cycle(self, raw_image: RawImage, *, backwards: bool = False) -> tuple[ImageArray, ImageArray, ImageArray]:
        """An image, its translation and its reconstruction, [rows, cols] in [0, 1] on its own grid each."""
        image, placement = self._prepared(raw_image)
        with torch.inference_mode():
            translated, again = self.pair.there_and_back(image, backwards=backwards)
        return _unit(image, placement), _unit(translated, placement), _unit(again, placement)

    def _prepared(self, raw_image: RawImage) -> tuple[Tensor, Placement]:
        """[1, 1, rows, cols] in [−1, 1]."""
        image, placement = prepare_image(raw_image, self.recipe.preparation)
        return torch.from_numpy(np.ascontiguousarray(image[None])).to(self.device) * 2 - 1, placement


def _unit(made: Tensor, placement: Placement) -> ImageArray:
    return restore((made[0, 0] / 2 + 0.5).cpu().numpy(), placement)
