"""From a folder, a model file, or the name of a pretrained model, to something that predicts.

PyTorch is imported where a run folder is opened: a model file needs none.
"""

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioseg import record as records
from bioseg import user_code
from bioseg.inference import pretrained
from bioseg.inference.backends import choose
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.model_files import open_model_file
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.applicability import Applicability
from bioseg.quality.model import QualityModel
from bioseg.recipe import Recipe, SegmentationRecipe, TranslationRecipe
from bioseg.specs import Call, call
from bioseg.types import BiosegError

if TYPE_CHECKING:
    from torch import nn

    from bioseg.inference.translator import Translator

WEIGHTS = "best.safetensors"
BLANK = {"imagenet": False, "weights": None}
"""Arguments of our own networks that say which weights they start from, and their values for none."""


def open_predictor(
    model: Path | str, device: str = "auto", *, allow_code: bool = False, backend: str = "auto"
) -> Predictor:
    """Open a run folder, a model file, or a pretrained model by its name; a run with folds becomes an ensemble of all of them.

    Args:
        model: See :func:`bioseg.inference.pretrained.find`.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        allow_code: Run the author's own code if the run was made with some, see :mod:`bioseg.user_code`.
        backend: ``auto``, ``torch`` for folders, ``onnx`` or ``openvino`` for model files, see :func:`open_model_file`.

    Raises:
        BiosegError: It is none of them, no epoch of it was finished, its weights do not fit its record, or the backend does
            not compute it.
    """
    folder = pretrained.find(model)
    if folder.is_file():
        return open_model_file(folder, device, backend)
    if choose.parse(backend) not in ("auto", "torch"):
        raise BiosegError(
            f"--backend {backend}: computes a file that `bioseg export {model} --out model.bioseg` writes; give that, or "
            "leave --backend out"
        )
    try:
        from bioseg.inference import device as devices
        from bioseg.inference.backends.torch import torch_backend
    except ImportError:
        raise BiosegError(
            f"{model}: needs PyTorch; pip install torch, or give a file that `bioseg export` wrote"
        ) from None

    record, recipe = open_recipe(folder, allow_code=allow_code)
    if not isinstance(recipe, SegmentationRecipe):
        raise BiosegError(
            f"{model}: is a translation model, not for segmentation; use it with `bioseg translate` or --translate"
        )
    recipe = replace(
        recipe, postprocess=records.read_spec(folder, records.POSTPROCESS, Postprocess) or recipe.postprocess
    )
    if "weights_sha256" in record:
        pretrained.check(folder / WEIGHTS, record["weights_sha256"])
    if "applicability_sha256" in record:
        pretrained.check(folder / records.APPLICABILITY, record["applicability_sha256"])
    quality = records.read_spec(folder, records.QUALITY, QualityModel)
    applicability = records.read_spec(folder, records.APPLICABILITY, Applicability)
    where = devices.choose(device)
    networks = [rebuild(recipe.network, place / WEIGHTS) for place in fold_folders(folder, record)]
    return Predictor(
        recipe,
        tuple(torch_backend(network, where) for network in networks),
        quality,
        fingerprint=_fingerprint(recipe, quality, [place / WEIGHTS for place in fold_folders(folder, record)]),
        applicability=applicability,
    )


def open_translator(model: Path | str, device: str = "auto") -> "Translator":
    """Open the run folder of a CycleGAN.

    Raises:
        BiosegError: It is none or a segmentation model's, no epoch of it was finished, or its weights do not fit.
    """
    from bioseg.inference import device as devices
    from bioseg.inference.translator import Translator
    from bioseg.models.cyclegan import Pair

    folder = pretrained.find(model)
    recipe = None if folder.is_file() else open_recipe(folder)[1]
    if not isinstance(recipe, TranslationRecipe):
        raise BiosegError(f"{model}: is no translation model; give a folder that `bioseg train cxr-cyclegan-…` wrote")
    generator = recipe.generator
    pair = rebuild(call(lambda: Pair(generator(), generator())), folder / WEIGHTS)
    assert isinstance(pair, Pair)
    return Translator(pair, recipe, devices.choose(device))


def open_recipe(folder: Path, *, allow_code: bool = False) -> tuple[dict[str, Any], Recipe]:
    """The record and the recipe of a run.

    Raises:
        BiosegError: The folder is no run, its record is damaged, or names code that may not or cannot be run.
    """
    record = records.read_record(folder)
    return record, records.decode_recipe(record, folder, user_code.resolver(record, folder, allow=allow_code))


def fold_folders(folder: Path, record: dict[str, Any]) -> list[Path]:
    """The folders that hold a run's networks: itself, or one per fold."""
    return [folder / f"fold-{k}" for k in range(record.get("folds", 0))] or [folder]


def rebuild(network: "Call[nn.Module]", path: Path) -> "nn.Module":
    """A network with the weights of ``path``, which are checked before memory is taken for it.

    Raises:
        BiosegError: See :func:`bioseg.models.weights.read`.
    """
    import torch

    from bioseg.models import weights

    if network.function.__module__.startswith("bioseg."):  # a user's may not know the meta device
        with torch.device("meta"):
            empty = blank(network)
        tensors = weights.read(path, empty)
        built = blank(network)
        built.load_state_dict(tensors)
    else:
        built = blank(network)
        weights.load_into(built, path)
    return built


def blank(network: "Call[nn.Module]") -> "nn.Module":
    """A network without the weights that it would start training from, and without touching the global generator."""
    import torch

    own = network.function.__module__.startswith("bioseg.")
    taken = inspect.signature(network.function).parameters if own else {}
    with torch.random.fork_rng(devices=[]):
        return network(**{key: value for key, value in BLANK.items() if key in taken})


def _fingerprint(recipe: SegmentationRecipe, quality: Any, files: Sequence[Path]) -> str:
    """Sixteen hexadecimal digits that change with the recipe, the quality model or the weights."""
    digest = hashlib.sha256(json.dumps([records.encode(recipe), records.encode(quality)], sort_keys=True).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
