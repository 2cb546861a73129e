"""A trained CycleGAN as its user sees it: an image in, the same image as the other domain would show it out, in its own size."""

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
    """Both generators of one recipe, ready to translate; nothing in it changes once it is made."""

    def __init__(self, pair: Pair, recipe: TranslationRecipe, device: torch.device) -> None:
        """Move ``pair`` to ``device`` and put it in evaluation mode."""
        self.recipe, self.device = recipe, device
        self.pair = pair.eval()
        devices.place(self.pair, device)

    def translate(self, raw_image: RawImage, *, backwards: bool = False) -> RawImage:
        """An image of the source domain translated to the target domain; ``backwards``: the other way round.

        Returns:
            8 bit grey on the image's own grid, as if read from a PNG.
        """
        image, placement = self._prepared(raw_image)
        with torch.inference_mode():
            translated = (self.pair.backwards if backwards else self.pair.forwards)(image)
        pixels = to_bytes(_unit(translated, placement))
        return replace(raw_image, pixels=pixels, channels=(), inverted=False, slope=1.0, intercept=0.0, white=255.0)

    def cycle(self, raw_image: RawImage, *, backwards: bool = False) -> tuple[ImageArray, ImageArray, ImageArray]:
        """An image, its translation and its reconstruction, [rows, cols] in [0, 1] on its own grid each."""
        image, placement = self._prepared(raw_image)
        with torch.inference_mode():
            translated, reconstructed = self.pair.there_and_back(image, backwards=backwards)
        return _unit(image, placement), _unit(translated, placement), _unit(reconstructed, placement)

    def _prepared(self, raw_image: RawImage) -> tuple[Tensor, Placement]:
        """[1, 1, rows, cols] in [−1, 1]."""
        image, placement = prepare_image(raw_image, self.recipe.preparation)
        return torch.from_numpy(np.ascontiguousarray(image[None])).to(self.device) * 2 - 1, placement


def _unit(images: Tensor, placement: Placement) -> ImageArray:
    """From [1, 1, rows, cols] in [−1, 1] to [0, 1] on the image's own grid."""
    return restore((images[0, 0] / 2 + 0.5).cpu().numpy(), placement)
