"""From a folder, or the name of a pretrained model, to something that predicts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from bioseg import record as records
from bioseg.inference import device as devices
from bioseg.inference import pretrained
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.predictor import Predictor
from bioseg.inference.translator import Translator
from bioseg.models import weights
from bioseg.models.cyclegan import Pair
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.model import QualityModel
from bioseg.recipe import SegmentationRecipe, TranslationRecipe
from bioseg.types import BiosegError

WEIGHTS = "best.safetensors"


def open_predictor(model: Path | str, device: str = "auto", *, code: tuple[str, ...] = ()) -> Predictor:
    """Open a run folder, or a pretrained model by its name; a run with folds becomes an ensemble of all of them.

    Args:
        model: See :func:`bioseg.inference.pretrained.find`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        code: Modules of the user's that the record may name.

    Raises:
        BiosegError: It is neither, no epoch of it was finished, or its weights do not fit its record.
    """
    folder = pretrained.find(model)
    record, recipe = records.read_record(folder), records.read_recipe(folder, code=code)
    if not isinstance(recipe, SegmentationRecipe):
        raise BiosegError(
            f"{model}: is a translation model, not for segmentation; use it with `bioseg translate` or --translate"
        )
    recipe = replace(recipe, postprocess=_spec(folder, records.POSTPROCESS, Postprocess) or recipe.postprocess)
    if "weights_sha256" in record:
        pretrained.check(folder / WEIGHTS, record["weights_sha256"])
    quality = _spec(folder, records.QUALITY, QualityModel)
    where = devices.choose(device)
    networks = [rebuild(recipe, place / WEIGHTS) for place in fold_folders(folder, record)]
    return Predictor(
        recipe,
        tuple(torch_backend(network, where) for network in networks),
        quality,
        fingerprint=_fingerprint(recipe, quality, [place / WEIGHTS for place in fold_folders(folder, record)]),
    )


def open_translator(model: Path | str, device: str = "auto") -> Translator:
    """Open the run folder of a CycleGAN.

    Raises:
        BiosegError: It is none or a segmentation model's, no epoch of it was finished, or its weights do not fit.
    """
    folder = pretrained.find(model)
    recipe = records.read_recipe(folder)
    if not isinstance(recipe, TranslationRecipe):
        raise BiosegError(f"{model}: is no translation model; give a folder that `bioseg train cxr-cyclegan-…` wrote")
    pair = Pair(recipe.generator(), recipe.generator())
    weights.load_into(pair, folder / WEIGHTS)
    return Translator(pair, recipe, devices.choose(device))


def fold_folders(folder: Path, record: dict[str, Any]) -> list[Path]:
    """The folders that hold a run's networks: itself, or one per fold."""
    return [folder / f"fold-{k}" for k in range(record.get("folds", 0))] or [folder]


def rebuild(recipe: SegmentationRecipe, path: Path) -> nn.Module:
    """The recipe's network with the weights of ``path``; those it would start training from are not needed."""
    blank = {"imagenet": False} if "imagenet" in dict(recipe.network.arguments) else {}
    network: nn.Module = recipe.network(**blank)
    weights.load_into(network, path)
    return network


def _fingerprint(recipe: SegmentationRecipe, quality: Any, files: Sequence[Path]) -> str:
    """Sixteen hexadecimal digits that change with the recipe, the quality model or the weights."""
    digest = hashlib.sha256(json.dumps([records.encode(recipe), records.encode(quality)], sort_keys=True).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _spec(folder: Path, name: str, kind: type[Any]) -> Any:
    return records.read_spec(folder / name, kind) if (folder / name).exists() else None
