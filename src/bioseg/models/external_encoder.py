"""Encoders of timm and torchvision, where the user has these packages: feature maps are found by their stride."""

import difflib
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.models import weights as stored
from bioseg.types import BiosegError

PATTERN = r"(timm|torchvision):\w+(\.\w+)*"
STRIDES = (2, 4, 8, 16, 32)
PROBED = 64
"""Rows and cols of the image by which strides are found."""

Statistics = tuple[float, ...]
"""One number per channel of RGB images in [0, 1]."""


class ExternalEncoder(nn.Module):
    """[N, 3, rows, cols], normalised, rows and cols multiples of 32 → feature maps at strides 2, 4, 8, 16 and 32.

    A network without a map at stride 2 gives the image itself there, at half its size.

    Attributes:
        taps: Channels of the five maps.
        mean: Of the images it was trained on, for normalisation.
        deviation: Their standard deviations.
    """

    def __init__(self, name: str, body: nn.Module, mean: Statistics, deviation: Statistics) -> None:
        """Tap ``body``, which returns maps.

        Raises:
            BiosegError: There is no map [N, width, rows, cols] at one of the strides 4, 8, 16 and 32.
        """
        super().__init__()
        self.body, self.mean, self.deviation = body, tuple(mean), tuple(deviation)
        maps = _maps(body)
        found = _last_by_stride(maps)
        if missing := sorted(set(STRIDES[1:]) - set(found)):
            raise BiosegError(
                f"encoder {name}: no feature map at stride {missing[0]}; choose a convolutional network, such as "
                f"{name.partition(':')[0]}:resnet18"
            )
        self.places = [found.get(stride, "") for stride in STRIDES]
        self.taps = [maps[place].shape[1] if place else 3 for place in self.places]

    def forward(self, images: Tensor) -> list[Tensor]:
        """The five maps, finest first, with :attr:`taps` channels."""
        maps = _named(self.body(images))
        return [maps[place] if place else functional.avg_pool2d(images, 2) for place in self.places]


def external_encoder(name: str, *, pretrained: bool, weights: str | None = None) -> ExternalEncoder:
    """Build ``timm:resnet18`` or ``torchvision:resnet18``.

    Args:
        name: The package, and its name of the network.
        pretrained: Take the package's own weights, which it may download, or those of ``weights``.
        weights: A safetensors file of the whole network under the package's names.

    Raises:
        BiosegError: The package is not installed, or has no such network, or there are no weights for it.
    """
    if not re.fullmatch(PATTERN, name):
        raise BiosegError(f"encoder {name}: write timm:NAME or torchvision:NAME")
    package, _, network = name.partition(":")
    tensors = stored.tensors(Path(weights), "give a file that is there") if weights and pretrained else None
    build = {"timm": _timm, "torchvision": _torchvision}[package]
    try:
        with torch.device("cpu"):  # some compute with their parts while they are built
            return ExternalEncoder(name, *build(_imported(package), network, pretrained, tensors))
    except BiosegError:
        raise
    except Exception as fault:  # of any kind: it is another package's
        raise BiosegError(f"encoder {name}: {type(fault).__name__}: {str(fault).splitlines()[0][:200]}") from None


Built = tuple[nn.Module, Statistics, Statistics]


def _timm(timm: Any, name: str, pretrained: bool, tensors: dict[str, Tensor] | None) -> Built:
    _refuse_unknown("timm", name.partition(".")[0], timm.is_model, timm.list_models)
    if tensors:
        _refuse_other(tensors, timm.create_model(name))
    more = {"pretrained_cfg_overlay": {"state_dict": tensors}} if tensors else {}
    body = timm.create_model(name, pretrained=pretrained, features_only=True, **more)
    return body, body.pretrained_cfg["mean"], body.pretrained_cfg["std"]


def _torchvision(torchvision: Any, name: str, pretrained: bool, tensors: dict[str, Tensor] | None) -> Built:
    models = torchvision.models
    known = models.list_models(module=models)
    _refuse_unknown("torchvision", name, known.__contains__, lambda: known)
    extraction = importlib.import_module("torchvision.models.feature_extraction")
    theirs = models.get_model_weights(name).DEFAULT
    network = models.get_model(name, weights=theirs if pretrained and not tensors else None)
    if tensors:
        _refuse_other(tensors, network)
        network.load_state_dict(tensors)
    training, evaluation = extraction.get_graph_node_names(network)
    nodes = [node for node in evaluation if node in set(training)]
    maps = _maps(extraction.create_feature_extractor(network, nodes))
    body = extraction.create_feature_extractor(network, list(_last_by_stride(maps).values()))
    how = theirs.transforms()
    return body, how.mean, how.std


def _refuse_other(tensors: dict[str, Tensor], network: nn.Module) -> None:
    own = network.state_dict()
    if wrong := sorted(name for name in {*own, *tensors} if not stored.alike(own.get(name), tensors.get(name))):
        raise BiosegError(
            f"network.weights: of another network ({len(wrong)} tensors differ, first {wrong[0]}); give its own"
        )


def _maps(body: nn.Module) -> dict[str, Tensor]:
    """The maps of an image of :data:`PROBED` × :data:`PROBED` zeros."""
    with torch.inference_mode():
        return _named(body.eval()(torch.zeros(1, 3, PROBED, PROBED)))


def _named(maps: Any) -> dict[str, Tensor]:
    return dict(maps) if isinstance(maps, dict) else {str(index): one for index, one in enumerate(maps)}


def _last_by_stride(maps: dict[str, Tensor]) -> dict[int, str]:
    """The last map [1, width, side, side] of each of :data:`STRIDES`."""
    square = {name: one for name, one in maps.items() if isinstance(one, Tensor) and one.ndim == 4}
    sides = {name: one.shape[-1] for name, one in square.items() if one.shape[-2] == one.shape[-1]}
    return {PROBED // side: name for name, side in sides.items() if side and PROBED / side in STRIDES}


def _imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except Exception as fault:  # torchvision for another PyTorch fails with a RuntimeError
        raise BiosegError(
            f"encoder {package}: {package} cannot be imported ({str(fault).splitlines()[0]}); pip install {package}, for "
            f"PyTorch {torch.__version__}"
        ) from None


def _refuse_unknown(package: str, name: str, known: Callable[[str], bool], names: Callable[[], list[str]]) -> None:
    if not known(name):
        near = difflib.get_close_matches(name, names(), 4, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else f"{package}.list_models() names all"
        raise BiosegError(f"encoder {package}:{name}: {package} has no such network; {hint}")
