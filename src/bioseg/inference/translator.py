"""A trained CycleGAN as its user sees it: a picture in, the same in the look of the other side out, in its own size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bioseg.data.pixels import Stored
from bioseg.data.prepare import Placement, prepare_picture, restore, to_bytes
from bioseg.inference import device as devices
from bioseg.inference.predictor import read_record
from bioseg.models import weights
from bioseg.models.cyclegan import Pair
from bioseg.recipe import TranslationRecipe, decode
from bioseg.types import BiosegError, Picture


class Translator:
    """Both generators of one recipe."""

    def __init__(self, pair: Pair, recipe: TranslationRecipe, device: torch.device) -> None:
        """Move ``pair`` to ``device`` and switch it to evaluation."""
        self.recipe, self.device = recipe, device
        self.pair = pair.eval()
        devices.place(self.pair, device)

    @classmethod
    def open(cls, model: Path, device: str = "auto") -> "Translator":
        """Open a run folder.

        Raises:
            BiosegError: It is none or a segmenter's, no epoch of it was finished, or its weights do not fit its record.
        """
        recipe = decode(read_record(model)["recipe"])
        if not isinstance(recipe, TranslationRecipe):
            raise BiosegError(f"{model}: is no translator; give a folder that `bioseg train cxr-cyclegan-…` wrote")
        pair = Pair(recipe.generator(), recipe.generator())
        weights.load_into(pair, model / "best.safetensors")
        return cls(pair, recipe, devices.choose(device))

    def translate(self, stored: Stored, *, backwards: bool = False) -> Stored:
        """A picture of the source as the target would have it; ``backwards`` the other way.

        Returns:
            8 bits of grey on the picture's own grid, as a PNG of it would be read.
        """
        picture, placement = self._prepared(stored)
        with torch.inference_mode():
            made = (self.pair.backwards if backwards else self.pair.forwards)(picture)
        pixels = to_bytes(_unit(made, placement))
        return replace(stored, pixels=pixels, inverted=False, slope=1.0, intercept=0.0, white=255.0)

    def views(self, stored: Stored, *, backwards: bool = False) -> tuple[Picture, Picture, Picture]:
        """A picture, its translation and its reconstruction, [rows, cols] in [0, 1] on its own grid each."""
        picture, placement = self._prepared(stored)
        with torch.inference_mode():
            translated, again = self.pair.there_and_back(picture, backwards=backwards)
        return _unit(picture, placement), _unit(translated, placement), _unit(again, placement)

    def _prepared(self, stored: Stored) -> tuple[Tensor, Placement]:
        """[1, 1, rows, cols] in [−1, 1]."""
        picture, placement = prepare_picture(stored, self.recipe.preparation)
        return torch.from_numpy(np.ascontiguousarray(picture[None])).to(self.device) * 2 - 1, placement


def _unit(made: Tensor, placement: Placement) -> Picture:
    return restore((made[0, 0] / 2 + 0.5).cpu().numpy(), placement)
