"""The four U-Nets of the reference systems, and :func:`unet` for one's own, from one module.

A U-Net (Ronneberger et al. 2015) has an encoder, whose levels end in max pooling, and a decoder, whose levels upsample,
concatenate the skip of the same size and convolve. A specification says what differs between them.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.models.blocks import Initialise, conv, fit_to_multiple, he_normal, transposed_conv
from bioseg.specs import Width
from bioseg.types import BiosegError


@dataclass(frozen=True)
class Level:
    """One level of the encoder or decoder.

    Attributes:
        width: Channels.
        convs: Number of 3×3 convolutions, each with ReLU.
        dropout: Rate between the first and the second.
    """

    width: int
    convs: int = 2
    dropout: float = 0.0


@dataclass(frozen=True)
class UNetSpec:
    """What a U-Net is made of.

    Attributes:
        down: Encoder levels from the full size down; the last is the bottleneck.
        up: Decoder levels from the smallest size up: the convolutions after concatenation.
        upsample: A transposed 2×2 convolution, or nearest neighbour followed by ``lift``.
        lift: Kernels of the convolutions, each with ReLU, between upsampling and concatenation.
        head_kernel: Kernel of the last convolution.
        head_dropout: Dropout rate before it.
        initialise: Initialisation of the 3×3 convolutions.
        normalise: Batch normalisation between each of these and its ReLU.
    """

    down: tuple[Level, ...]
    up: tuple[Level, ...]
    upsample: Literal["transposed", "nearest"]
    lift: tuple[int, ...] = ()
    head_kernel: int = 1
    head_dropout: float = 0.0
    initialise: Initialise = nn.init.xavier_uniform_
    normalise: bool = False


class UNet(nn.Module):
    """[N, in_channels, rows, cols] in [0, 1] → logits [N, outputs, rows, cols], any size."""

    def __init__(self, spec: UNetSpec, in_channels: int, outputs: int = 1) -> None:
        """Build it with fresh weights."""
        super().__init__()
        self.spec = spec
        widths = [in_channels, *(level.width for level in spec.down)]
        self.down = nn.ModuleList(_convs(a, level, spec) for a, level in zip(widths, spec.down, strict=False))
        self.upsample, self.up = nn.ModuleList(), nn.ModuleList()
        below = widths[-1]
        for level, skip in zip(spec.up, reversed(spec.down[:-1]), strict=True):
            self.upsample.append(_upsample(below, level.width, spec))
            self.up.append(_convs(level.width + skip.width, level, spec))
            below = level.width
        self.head = nn.Sequential(nn.Dropout(spec.head_dropout), conv(below, outputs, spec.head_kernel))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the same size; images are padded to a multiple of the deepest stride, and logits cropped again."""
        x = fit_to_multiple(images, 2 ** len(self.up))
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.down[-1](x)
        for upsample, level in zip(self.upsample, self.up, strict=True):
            x = level(torch.cat([upsample(x), skips.pop()], dim=1))
        logits: Tensor = self.head(x)
        return logits[..., : images.shape[-2], : images.shape[-1]]


def _convs(in_channels: int, level: Level, spec: UNetSpec) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (a, b) in enumerate(pairwise([in_channels, *[level.width] * level.convs])):
        if index == 1 and level.dropout:
            layers.append(nn.Dropout(level.dropout))
        layers.append(conv(a, b, initialise=spec.initialise))
        layers += [*([nn.BatchNorm2d(b)] if spec.normalise else []), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _upsample(in_channels: int, out_channels: int, spec: UNetSpec) -> nn.Module:
    if spec.upsample == "transposed":
        return transposed_conv(in_channels, out_channels, 2)
    layers: list[nn.Module] = [nn.Upsample(scale_factor=2)]
    for a, kernel in zip([in_channels, *[out_channels] * len(spec.lift)], spec.lift, strict=False):
        layers += [conv(a, out_channels, kernel), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


CXR = UNetSpec(
    down=(Level(32), Level(64), Level(64), Level(128), Level(256, convs=1)),
    up=(Level(256, convs=1), Level(256, convs=1), Level(128, convs=1), Level(64, convs=1)),
    upsample="nearest",
    lift=(3, 3),
    head_kernel=3,
)
CT = UNetSpec(
    down=(Level(64, convs=1), Level(128, convs=1), Level(256, convs=1)),
    up=(Level(128, convs=1), Level(64, convs=1)),
    upsample="nearest",
    lift=(2,),
    head_dropout=0.5,
)
LV = UNetSpec(
    down=(Level(32), Level(64), Level(128), Level(256), Level(512)),
    up=(Level(256), Level(128), Level(64), Level(32)),
    upsample="transposed",
)
NUCLEI = UNetSpec(
    down=(Level(16, 2, 0.1), Level(32, 2, 0.1), Level(64, 2, 0.2), Level(128, 2, 0.2), Level(256, 2, 0.3)),
    up=(Level(128, 2, 0.2), Level(64, 2, 0.2), Level(32, 2, 0.1), Level(16, 2, 0.1)),
    upsample="transposed",
    initialise=he_normal,
)


def unet(in_channels: Width = 1, outputs: Width = 1, widths: tuple[Width, ...] = (32, 64, 128, 256, 512)) -> UNet:
    """A plain U-Net with batch normalisation and fresh weights.

    Args:
        in_channels: Channels of the images.
        outputs: Planes of logits per pixel.
        widths: Channels of the levels from the full size down, each half the size of the one before; two convolutions each.

    Raises:
        BiosegError: There are fewer than two levels.
    """
    if len(widths) < 2:
        raise BiosegError(f"network.widths: {list(widths)}; give two levels or more, such as [32, 64, 128]")
    down, up = (tuple(Level(width) for width in part) for part in (widths, reversed(widths[:-1])))
    return UNet(UNetSpec(down, up, "transposed", initialise=he_normal, normalise=True), in_channels, outputs)


def cxr_unet(in_channels: Width = 1) -> UNet:
    """Lungs in chest X-rays: 5,468,897 parameters with one channel."""
    return UNet(CXR, in_channels)


def ct_unet(in_channels: Width = 1) -> UNet:
    """Lungs in CT slices: 902,593 parameters with one channel."""
    return UNet(CT, in_channels)


def lv_unet(in_channels: Width = 1) -> UNet:
    """Left ventricle in cardiac MR: 7,759,521 parameters with one channel."""
    return UNet(LV, in_channels)


def nuclei_unet(in_channels: Width = 3) -> UNet:
    """Cell nuclei: 1,941,105 parameters with three channels."""
    return UNet(NUCLEI, in_channels)
