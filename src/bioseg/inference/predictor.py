"""A trained model as its user sees it: a picture in, a mask on the picture's own grid out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg import files
from bioseg.data.pixels import Stored
from bioseg.data.prepare import Placement, prepare_picture, restore
from bioseg.inference import device as devices
from bioseg.inference import ensemble, shipped
from bioseg.inference.postprocess import Prediction, finish
from bioseg.inference.quality import Evidence, Quality
from bioseg.inference.tiles import in_tiles
from bioseg.models import weights
from bioseg.recipe import SegmentationRecipe, decode
from bioseg.types import BiosegError, Probability

CHOSEN = "chosen.json"
"""File of a run: the postprocessing that was chosen on its validation cases."""

QUALITY = "quality.json"
"""File of a run: what was learned of its pictures, outlines and mistakes, to say how far to trust a prediction."""


class Predictor:
    """One or several networks of one recipe; several are an ensemble.

    Attributes:
        recipe: How pictures are prepared and what follows the networks.
        device: Where it computes.
        before: What is done to a picture first, for example :meth:`bioseg.inference.translator.Translator.translate`.
        quality: Says how far to trust a prediction; None: nothing is said.
    """

    def __init__(self, networks: Sequence[nn.Module], recipe: SegmentationRecipe, device: torch.device) -> None:
        """Move ``networks`` to ``device`` and switch them to evaluation."""
        self.recipe, self.device = recipe, device
        self.before: Callable[[Stored], Stored] = lambda stored: stored
        self.quality: Quality | None = None
        self.networks = [devices.place(network, device).eval() for network in networks]

    @classmethod
    def open(cls, model: Path, device: str = "auto") -> "Predictor":
        """Open a run folder, or a shipped model by its name; one with folds becomes an ensemble of all of them.

        Raises:
            BiosegError: It is neither, no epoch of it was finished, or its weights do not fit its record.
        """
        model = shipped.find(model)
        record = read_record(model)
        recipe = decode(record["recipe"])
        if not isinstance(recipe, SegmentationRecipe):
            raise BiosegError(
                f"{model}: is no segmenter; a translator is used by `bioseg translate` or with --translate"
            )
        if (model / CHOSEN).exists():
            recipe = replace(recipe, postprocess=decode(files.read_json(model / CHOSEN, "train again")))
        if "weights_sha256" in record:
            shipped.check(model / "best.safetensors", record["weights_sha256"])
        folders = fold_folders(model, record)
        opened = cls(
            [_rebuild(recipe, folder / "best.safetensors") for folder in folders], recipe, devices.choose(device)
        )
        if (model / QUALITY).exists():
            opened.quality = decode(files.read_json(model / QUALITY, "train again"))
        return opened

    def outputs(self, stored: Stored) -> dict[str, Probability]:
        """The network's outputs on the picture's own grid, [rows, cols] in [0, 1] each, by their names."""
        picture, placement = self.prepare(stored)
        return {name: restore(plane, placement) for name, plane in self.outputs_prepared(picture).items()}

    def prepare(self, stored: Stored) -> tuple[NDArray[np.float32], Placement]:
        """What the networks are given, [channels, rows, cols] in [0, 1], and where it lies in the picture."""
        return prepare_picture(self.before(stored), self.recipe.preparation)

    def outputs_prepared(self, picture: NDArray[np.float32]) -> dict[str, Probability]:
        """The same of a prepared picture [channels, rows, cols], on its prepared grid."""
        predict = partial(ensemble.mean_probability, self.networks, flips=self.recipe.flips, turns=self.recipe.turns)
        return self._named(in_tiles(predict, self._batch(picture)))

    def weigh(self, picture: NDArray[np.float32]) -> tuple[dict[str, Probability], Evidence]:
        """The same, and what speaks for and against it; costs one more view by each network."""
        batch, how = self._batch(picture), self.recipe
        with ensemble.encoded(self.networks[0]) as features:
            looks = [
                list(ensemble.views([network], batch, flips=how.flips, turns=how.turns, altered=True))
                for network in self.networks
            ]
        views = [view for *plain, _ in looks for view in plain]
        outputs = self._named(torch.stack(views).mean(0))
        seen = torch.cat([*views, *(look[-1] for look in looks)])[:, 0].cpu().numpy()
        mask = finish(outputs, how.postprocess).mask
        return outputs, Evidence(seen, outputs["inside"], mask, how.postprocess.threshold, _first(features))

    def features(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first network's features [D] of a prepared picture, as :class:`~bioseg.inference.quality.Evidence` has them."""
        with ensemble.encoded(self.networks[0]) as features:
            ensemble.logits(self.networks[0], self._batch(picture))
        return _first(features)

    def predict(self, stored: Stored) -> Prediction:
        """All of a picture as :func:`bioseg.data.pixels.read` returns it, on its own grid."""
        picture, placement = self.prepare(stored)
        return self._predict(picture, lambda plane: restore(plane, placement))

    def predict_prepared(self, picture: NDArray[np.float32]) -> Prediction:
        """All of a prepared picture [channels, rows, cols], on its prepared grid."""
        return self._predict(picture, lambda plane: plane)

    def _predict(self, picture: NDArray[np.float32], lay: Callable[[Probability], Probability]) -> Prediction:
        if self.quality is None:
            outputs, judgement = self.outputs_prepared(picture), None
        else:
            outputs, evidence = self.weigh(picture)
            judgement = self.quality.judge(evidence)
        found = finish({name: lay(plane) for name, plane in outputs.items()}, self.recipe.postprocess)
        return replace(found, quality=judgement)

    def _batch(self, picture: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(picture[None])).to(self.device)

    def _named(self, planes: Tensor) -> dict[str, Probability]:
        """[1, K, rows, cols] as the recipe calls each plane."""
        return dict(zip(self.recipe.preparation.truth, planes[0].cpu().numpy(), strict=True))


def read_record(model: Path) -> dict[str, Any]:
    """The record of a run folder or shipped model.

    Raises:
        BiosegError: The folder is not there or is not a run.
    """
    model = shipped.find(model)
    record: dict[str, Any] = files.read_json(model / "record.json", "give the folder that `bioseg train … --out` wrote")
    if not isinstance(record, dict) or "recipe" not in record:
        raise BiosegError(f"{model / 'record.json'}: not written by bioseg; give a folder that `bioseg train` wrote")
    return record


def fold_folders(model: Path, record: dict[str, Any]) -> list[Path]:
    """The folders that hold a run's networks: itself, or one a fold."""
    return [model / f"fold-{k}" for k in range(record.get("folds", 0))] or [model]


def _first(features: list[Tensor]) -> NDArray[np.float32]:
    """The first forward pass's, of the picture itself; [0] where the network has no encoder."""
    return features[0][0].cpu().numpy() if features else np.empty(0, np.float32)


def _rebuild(recipe: SegmentationRecipe, path: Path) -> nn.Module:
    """The recipe's network with the weights of ``path``; those it would start from are not looked for."""
    blank = {"imagenet": False} if "imagenet" in dict(recipe.network.arguments) else {}
    network = recipe.network(**blank)
    weights.load_into(network, path)
    return network
