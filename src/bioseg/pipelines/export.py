"""Export a trained model: everything that predicting needs in one file, or the network alone."""

import io
import json
import warnings
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from bioseg import files, model_file
from bioseg import record as records
from bioseg.datasets import splits
from bioseg.datasets.folders import list_cases
from bioseg.inference import pretrained
from bioseg.inference.backends import choose
from bioseg.inference.backends.torch import TorchBackend
from bioseg.inference.predictor import Predictor
from bioseg.migration import FORMAT
from bioseg.pipelines.known_images import image_hashes
from bioseg.pipelines.model_files import recipe_of
from bioseg.pipelines.models import PRIVATE
from bioseg.pipelines.open import fold_folders, open_predictor
from bioseg.quality.applicability import Applicability
from bioseg.specs import call
from bioseg.types import BiosegError

Format = Literal["bioseg", "onnx", "torchscript"]
CARD = "card.md"
EXAMPLE = (2, 65, 97)
"""Images, rows and cols that are traced: no size that a network can take without padding, so that the padding is traced."""
CHECKED = ((1, 33, 47), (3, 64, 96), (2, 128, 80))
"""Images, rows and cols on which the exported network must agree with PyTorch."""
GENERAL = {"layout": call(list_cases), "split": call(splits.by_patient), "fold": call(splits.grouped_k_fold, seed=0)}
"""In the place of a user's own functions of these fields: a model file predicts, and evaluates on any folder."""
TOLERANCE = 1e-3
"""Of logits and features, as a share of their largest value in the batch where that is above 1."""


class _WithFeatures(nn.Module):
    """Images → (logits, features), whether the network has features or not."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[N, channels, rows, cols] → logits [N, K, rows, cols], features [N, D]."""
        with_features: Callable[[Tensor], tuple[Tensor, Tensor]] | None = getattr(self.network, "with_features", None)
        if with_features:
            return with_features(images)
        return self.network(images), images.new_empty((images.shape[0], 0))


def export(model: Path | str, out: Path, *, form: str = "bioseg", allow_code: bool = False) -> Path:
    """Write a trained model as one file.

    ``bioseg`` holds everything that predicting needs; the exported network is compared with PyTorch before it is written.

    Args:
        model: A run folder, or the name of a pretrained model.
        out: File to write.
        form: A :data:`Format`: ``bioseg``, or the network alone as ``onnx`` or ``torchscript``.
        allow_code: Run the author's own code if the run was made with some; none of it gets into the file.

    Returns:
        ``out``.

    Raises:
        BiosegError: ``out`` exists, the model cannot be opened or exported, or the result differs from PyTorch's.
    """
    if form not in get_args(Format):
        raise BiosegError(f"--format {form}: choose {', '.join(get_args(Format))}")
    if out.exists() or out.is_symlink():
        raise BiosegError(f"--out {out}: exists; choose another file, or remove it first")
    if form == "bioseg" and out.suffix != model_file.SUFFIX:
        raise BiosegError(f"--out {out}: a model file ends in {model_file.SUFFIX}; give {out.stem}{model_file.SUFFIX}")
    folder = pretrained.find(model)
    if folder.is_file():
        raise BiosegError(f"{model}: is an exported model already; give the run folder it was made from")
    _refuse_missing(form)
    predictor = open_predictor(model, "cpu", allow_code=allow_code)
    if form != "bioseg" and len(predictor.backends) > 1:
        raise BiosegError(
            f"{model}: is an ensemble of {len(predictor.backends)} networks; export it with --format bioseg, or one fold "
            f"of it: {folder / 'fold-0'}"
        )
    networks = [one.network for one in predictor.backends if isinstance(one, TorchBackend)]
    channels = predictor.recipe.preparation.channels
    if form == "torchscript":
        data = to_torchscript(networks[0], channels)
    else:
        exported = [to_onnx(network, channels) for network in networks]
        data = exported[0] if form == "onnx" else _model_file(folder, predictor, exported, out)
    files.write(out, data)
    return out


def to_onnx(network: nn.Module, channels: int) -> bytes:
    """A network as ONNX, for any number and size of images; it agrees with PyTorch.

    Args:
        network: Images [N, channels, rows, cols] → logits, with features where it has the method ``with_features``.
        channels: Of the images.

    Raises:
        BiosegError: It cannot be exported, is no valid ONNX, or differs from PyTorch.
    """
    import onnx

    whole, result = _WithFeatures(network.cpu()).eval(), io.BytesIO()
    names, sizes = ("images", "logits", "features"), {0: "batch", 2: "rows", 3: "cols"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are traced: the comparison below is what tells
            torch.onnx.export(  # sets the mode of what it is given, which is why the whole is in evaluation mode
                whole, (_images(EXAMPLE, channels),), result, dynamo=False,  # type: ignore[arg-type]
                opset_version=model_file.OPSET,
                input_names=names[:1], output_names=names[1:],
                dynamic_axes={"images": sizes, "logits": sizes, "features": {0: "batch"}},
            )  # fmt: skip
        onnx.checker.check_model(result.getvalue(), full_check=True)
    except Exception as fault:  # a user's network may fail in any way
        raise _impossible(fault) from None
    backend = choose.build("onnx", result.getvalue())
    _compare(whole, backend, channels)
    return result.getvalue()


def to_torchscript(network: nn.Module, channels: int) -> bytes:
    """As :func:`to_onnx`, as TorchScript."""
    whole, result = _WithFeatures(network.cpu()).eval(), io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(whole, (_images(EXAMPLE, channels),), check_trace=False)
            torch.jit.save(traced, result)
    except Exception as fault:
        raise _impossible(fault) from None

    def run(batch: Any) -> Any:
        with torch.inference_mode():
            return [output.numpy() for output in traced(torch.from_numpy(batch))]

    _compare(whole, run, channels)
    return result.getvalue()


def _compare(network: nn.Module, exported: Callable[[Any], Any], channels: int) -> None:
    """Hold an exported network against the original, on other sizes and numbers of images than were traced."""
    for shape in CHECKED:
        images = _images(shape, channels)
        try:
            with torch.inference_mode():
                expected = [output.float().numpy() for output in network(images)]
            found = exported(images.numpy())
        except (BiosegError, MemoryError, RuntimeError) as fault:
            raise _impossible(fault) from None
        for name, one, other in zip(("logits", "features"), expected, found, strict=True):
            scale = max(1.0, float(np.abs(one).max(initial=0.0)))
            if one.shape != other.shape or not np.allclose(one, other, rtol=0, atol=TOLERANCE * scale):
                raise BiosegError(
                    f"network: exported, its {name} differ from PyTorch's for images of {shape[1]} × {shape[2]} px; write it "
                    "without Python branches on the size, or use the run folder"
                )


def _model_file(folder: Path, predictor: Predictor, networks: list[bytes], out: Path) -> bytes:
    """The content of a model file, read back once."""
    record = records.read_record(folder)
    record["recipe"] = _without_code(record["recipe"])
    try:
        stored = records.decode_predicting(record, str(folder / records.RECORD))
    except BiosegError as fault:
        if not record.get("code"):
            raise
        raise BiosegError(f"{fault}: a model file holds no code; keep the run folder, or use --format onnx") from None
    texts = {records.RECORD: _json(_public(folder, record))}
    if predictor.recipe.postprocess != stored.postprocess:
        texts[records.POSTPROCESS] = _json(records.encode(predictor.recipe.postprocess))
    if predictor.quality is not None:
        texts[records.QUALITY] = _json(records.encode(predictor.quality))
    if applicability := records.read_spec(folder, records.APPLICABILITY, Applicability):
        texts[records.APPLICABILITY] = _json(records.encode(applicability))
    if (folder / CARD).is_file():
        texts[CARD] = files.read_bytes(folder / CARD, "restore it")
    made_with = {name: metadata.version(name) for name in ("bioseg", "torch", "onnx")}
    data = model_file.pack(networks, texts, made_with=made_with)
    recipe_of(model_file.parse(data, out))  # what cannot be read is not written
    return data


def _without_code(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recorded recipe without its author's own layout, splits and reader: the exported model finds images as any other."""
    own = {
        key
        for key in (*GENERAL, "reader")
        if isinstance(recipe.get(key), dict) and not recipe[key].get("$call", "").startswith("bioseg.")
    }
    return {
        key: records.encode(GENERAL[key]) if key in own else value
        for key, value in recipe.items()
        if key not in own or key in GENERAL
    }


def _public(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What a model file's record says: no paths and no ids; images that trained the model are known by their content."""
    known = [record, *(records.read_record(place) for place in fold_folders(folder, record))]
    kept = {key: value for key, value in record.items() if key not in (*PRIVATE, "weights_sha256", "code")}
    return {**kept, "format": FORMAT, "image_hashes": image_hashes(*known)}


def _refuse_missing(form: str) -> None:
    missing = [name for name in ("onnx", "onnxruntime") if form != "torchscript" and not util.find_spec(name)]
    if missing:
        raise BiosegError(f"--format {form}: needs {' and '.join(missing)}; pip install 'bioseg[onnx]'")


def _images(shape: tuple[int, int, int], channels: int) -> Tensor:
    count, rows, cols = shape
    return torch.rand(count, channels, rows, cols, generator=torch.Generator().manual_seed(0))


def _impossible(fault: Exception) -> BiosegError:
    line = " ".join(str(fault).split()) or type(fault).__name__
    return BiosegError(f"network: cannot be exported ({line[:200]}); use the run folder")


def _json(value: Any) -> bytes:
    return (json.dumps(files.without_nan(value), indent=2, allow_nan=False) + "\n").encode()
