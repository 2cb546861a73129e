"""Open a model file: a predictor that needs no PyTorch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bioseg import model_file
from bioseg import record as records
from bioseg.inference.backends import choose
from bioseg.inference.predictor import Predictor
from bioseg.model_file import ModelFile
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.applicability import Applicability
from bioseg.quality.model import QualityModel
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError

MEASURED_PX = 256
"""Backends are compared on an image of at most this side."""


def open_model_file(path: Path, device: str = "auto", backend: str = "auto") -> Predictor:
    """A predictor from the file that ``bioseg export`` wrote.

    Args:
        path: The file.
        device: ``auto`` or ``cpu``.
        backend: ``onnx``, ``openvino``, or ``auto`` for the fastest that is installed.

    Raises:
        BiosegError: The file is damaged or foreign, or the backend is not installed or cannot compute it.
    """
    if device not in ("auto", "cpu"):
        raise BiosegError(
            f"--device {device}: a model file is computed on the CPU; leave --device out, or use the run folder"
        )
    name = choose.parse(backend)
    if name == "torch":
        raise BiosegError(f"--backend torch: {path} holds no PyTorch network; choose auto, onnx or openvino")
    content = model_file.read(path)
    recipe = recipe_of(content)
    quality = _spec(content, records.QUALITY, QualityModel)
    applicability = _spec(content, records.APPLICABILITY, Applicability)
    try:
        chosen = choose.fastest(content.networks[0], _example(recipe)) if name == "auto" else name
        backends = tuple(choose.build(chosen, network) for network in content.networks)
    except BiosegError as fault:
        raise BiosegError(f"{path}: {fault}") from None
    return Predictor(recipe, backends, quality, fingerprint=content.fingerprint, applicability=applicability)


def read_model_record(path: Path) -> dict[str, Any]:
    """The record in a model file.

    Raises:
        BiosegError: The file is damaged or foreign.
    """
    return _record(model_file.read(path))


def recipe_of(content: ModelFile) -> SegmentationRecipe:
    """The recipe in a model file, with the chosen postprocessing; its network and training cannot be run.

    Raises:
        BiosegError: It is damaged, or names what a record may not.
    """
    recipe = records.decode_predicting(_record(content), f"{content.path}: {records.RECORD}: recipe")
    chosen = _spec(content, records.POSTPROCESS, Postprocess)
    return replace(recipe, postprocess=chosen) if chosen else recipe


def _record(content: ModelFile) -> dict[str, Any]:
    return records.checked_fields(content.json(records.RECORD), content.path / records.RECORD)


def _spec(content: ModelFile, name: str, kind: type[Any]) -> Any:
    value = content.json(name)
    return None if value is None else records.checked_spec(value, f"{content.path}: {name}", kind)


def _example(recipe: SegmentationRecipe) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One prepared image of the recipe's size, of noise."""
    how = recipe.preparation
    shape = [min(side, MEASURED_PX) for side in how.size_px]
    return np.random.default_rng(0).random((1, how.channels, *shape), dtype=np.float32)
