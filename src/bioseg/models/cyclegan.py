"""The networks of the chest X-ray study's CycleGAN (Zhu et al. 2017): two kinds of generator, and a discriminator.

Images are grey, [N, 1, rows, cols] in [−1, 1]. Weights start from N(0, .02), biases from 0. Normalisation is instance norm with
the ε of Keras, padding is zero padding as "same" in Keras.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from bioseg.models.blocks import fit_to_multiple, transposed_conv
from bioseg.specs import Width


class Pair(nn.Module):
    """The two generators of a CycleGAN.

    Attributes:
        forwards: From the source domain to the target domain.
        backwards: From the target domain to the source domain.
    """

    def __init__(self, forwards: nn.Module, backwards: nn.Module) -> None:
        """Combine two generators."""
        super().__init__()
        self.forwards, self.backwards = forwards, backwards

    def there_and_back(self, images: Tensor, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
        """Translations of source images and their reconstructions; with ``backwards``, of target images."""
        first, second = (self.backwards, self.forwards) if backwards else (self.forwards, self.backwards)
        translated: Tensor = first(images)
        return translated, second(translated)


class ConcatenatingBlock(nn.Module):
    """[Convolution, norm, ReLU, convolution, norm] of x, concatenated with x: the study's residual block does not add."""

    def __init__(self, in_channels: int, width: int) -> None:
        """Add ``width`` channels to ``in_channels``."""
        super().__init__()
        self.body = nn.Sequential(
            _conv(in_channels, width, 3), _norm(width), nn.ReLU(inplace=True), _conv(width, width, 3), _norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, rows, cols] → [N, width + in_channels, rows, cols]."""
        return torch.cat([self.body(x), x], dim=1)


class ResNetGenerator(nn.Module):
    """[N, 1, rows, cols] in [−1, 1] → the same, any size."""

    def __init__(self, width: int) -> None:
        """Build it with fresh weights and ``width`` channels at full size."""
        super().__init__()
        deep = 4 * width
        blocks = [ConcatenatingBlock(deep * number, deep) for number in range(1, 10)]
        self.body = nn.Sequential(_stem(width), *blocks, _head(deep * 10, width))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Translated images of the same size."""
        # With 4 instead of 8 an instance norm of a tiny image would have a single value.
        translated: Tensor = self.body(fit_to_multiple(images, 8))
        return translated[..., : images.shape[-2], : images.shape[-1]]


class UNetGenerator(nn.Module):
    """[N, 1, rows, cols] in [−1, 1] → the same, any size, through one channel at a quarter of the size."""

    def __init__(self, width: int) -> None:
        """Build it with fresh weights and ``width`` channels at full size."""
        super().__init__()
        deep, down, up = 4 * width, (width // 2, width, width, 2 * width), (4 * width, 4 * width, 2 * width, width)
        self.stem = _stem(width)
        self.down = nn.ModuleList(_convs(a, b, 2) for a, b in pairwise((deep, *down)))
        self.halve = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), _norm(a)) for a in down)
        self.bottom = _convs(down[-1], deep, 1)
        self.upsample = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), _convs(a, b, 2), _norm(b)) for a, b in pairwise((deep, *up))
        )
        self.up = nn.ModuleList(_convs(a + b, a, 1) for a, b in zip(up, reversed(down), strict=True))
        self.middle = nn.Sequential(_conv(up[-1], 1, 3), nn.Sigmoid())
        self.head = _head(1, width)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Translated images of the same size."""
        x = self.stem(
            fit_to_multiple(images, 128)
        )  # with 64 the deepest norm of a tiny image would have a single value
        skips = []
        for level, halve in zip(self.down, self.halve, strict=True):
            skips.append(level(x))
            x = halve(skips[-1])
        x = self.bottom(x)
        for upsample, level in zip(self.upsample, self.up, strict=True):
            x = level(torch.cat([upsample(x), skips.pop()], dim=1))
        translated: Tensor = self.head(self.middle(x))
        return translated[..., : images.shape[-2], : images.shape[-1]]


class Discriminator(nn.Module):
    """[N, 1, rows, cols] in [−1, 1] → one score per patch, [N, 1, rows / 16, cols / 16]: 1 for real, 0 for generated.

    Sides that are no multiples of 32 are padded first.
    """

    def __init__(self, width: int) -> None:
        """Build it with fresh weights and ``width`` channels after the first downsampling."""
        super().__init__()
        layers: list[nn.Module] = [_conv(1, width, 4, 2), nn.LeakyReLU(0.2, inplace=True)]
        for in_channels, out_channels, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 2), (8, 8, 1)):
            layers += [_conv(in_channels * width, out_channels * width, 4, stride), _norm(out_channels * width)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers, _conv(8 * width, 1, 4))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """The scores of all patches."""
        scores: Tensor = self.body(fit_to_multiple(images, 32))
        return scores


def resnet_generator(width: Width = 64) -> ResNetGenerator:
    """Nine residual blocks between two downsampling and two upsampling layers: 35,264,003 parameters."""
    return ResNetGenerator(width)


def unet_generator(width: Width = 64) -> UNetGenerator:
    """A U-Net between two downsampling and two upsampling layers: 5,996,036 parameters."""
    return UNetGenerator(width)


def discriminator(width: Width = 64) -> Discriminator:
    """PatchGAN (Isola et al. 2017): 6,960,321 parameters."""
    return Discriminator(width)


def _stem(width: int) -> nn.Sequential:
    """[N, 1, rows, cols] → [N, 4 width, rows / 4, cols / 4]."""
    layers: list[nn.Module] = []
    for in_channels, out_channels, kernel, stride in (
        (1, width, 7, 1),
        (width, 2 * width, 3, 2),
        (2 * width, 4 * width, 3, 2),
    ):
        layers += [_conv(in_channels, out_channels, kernel, stride), _norm(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _head(in_channels: int, width: int) -> nn.Sequential:
    """[N, in_channels, rows / 4, cols / 4] → [N, 1, rows, cols] in [−1, 1]."""
    layers: list[nn.Module] = []
    for a, b in pairwise((in_channels, 2 * width, width)):
        layers += [transposed_conv(a, b, 3), _norm(b), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, _conv(width, 1, 7), _norm(1), nn.Tanh())


def _convs(in_channels: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise([in_channels, *[width] * count]):
        layers += [_conv(a, b, 3), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that divides rows × cols by the stride; an odd row or column of padding comes last, as in Keras."""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(in_channels, out_channels, kernel, stride)
    )


def _norm(width: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(width, eps=1e-3, affine=True)


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
