"""The chest X-ray study's enhanced U-Net: EfficientNet-B7 up to stride 16, and a densely connected residual decoder."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.models.blocks import conv, fit_to_multiple, transposed_conv
from bioseg.models.efficientnet import SPECS, Block, EfficientNet, load_imagenet
from bioseg.models.efficientnet import Encoder as EncoderName

N = 8
"""Width of the decoder at full size; it doubles with every level down."""
LAST_STAGE = 4
"""The encoder ends in the last block of the stage with this index."""


class Encoder(nn.Module):
    """[N, 3, rows, cols], normalised → feature maps from inside four blocks, at strides 2, 4, 8 and 16.

    The first three are the activations after the expansion of the blocks that halve the size. The study describes the fourth in
    the same way, but its parameter count includes the depthwise convolution and the batch norm of that block, and Keras counts
    only layers that lead to an output: so it is the activation after these, ``block5j_activation`` with 1344 channels in B7.
    """

    def __init__(self, network: EfficientNet) -> None:
        """Take the part of ``network`` that is used, with its weights."""
        super().__init__()
        blocks = [list(cast(nn.Sequential, stage)) for stage in network.stages[: LAST_STAGE + 1]]
        last = cast(Block, blocks[LAST_STAGE].pop())
        firsts = [cast(Block, stage[0]) for stage in blocks[1:LAST_STAGE]]
        self.taps = [cast(nn.Conv2d, block.filter[0]).in_channels for block in (*firsts, last)]
        self.stem = network.stem
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in blocks)
        self.last = nn.Sequential(last.expand, last.filter)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The four maps, finest first, with :attr:`taps` channels."""
        outer, *tapped, deepest = self.stages
        x = outer(self.stem(images))
        maps = []
        for stage in tapped:
            first, *others = cast(list[Block], list(cast(nn.Sequential, stage)))
            maps.append(first.expand(x))
            x = first.project(first.excite(first.filter(maps[-1])))  # it halves the size, so it has no shortcut
            for block in others:
                x = block(x)
        return [*maps, self.last(deepest(x))]


class Residual(nn.Module):
    """BN(x) + two times [3×3 convolution, batch norm] of BN(LeakyReLU(x)), a LeakyReLU between the two."""

    def __init__(self, width: int) -> None:
        """Keep ``width`` channels."""
        super().__init__()
        self.shortcut = _norm(width)
        self.body = nn.Sequential(
            _act(), _norm(width), conv(width, width), _norm(width), _act(), conv(width, width), _norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, rows, cols] → the same."""
        change: Tensor = self.body(x)
        kept: Tensor = self.shortcut(x)
        return kept + change


class Level(nn.Module):
    """A decoder level: upsamples, concatenates the skips of its size, and upsamples further for the levels above (echoes)."""

    def __init__(self, below: int, skips: int, width: int, echoes: int, dropout: float = 0.0) -> None:
        """``skips``: channels of the encoder's skip and of the echoes from below; ``echoes``: number of levels above."""
        super().__init__()
        self.upsample = transposed_conv(below, width, 3)
        self.echoes = nn.ModuleList(transposed_conv(width, width, 3) for _ in range(echoes))
        self.join = nn.Sequential(nn.Dropout(dropout), conv(width + skips, width), Residual(width), _act())

    def forward(self, x: Tensor, skips: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """From half the size to this size, and the echoes at 2, 4, … times this size."""
        x = self.upsample(x)
        echoes = [x]
        for echo in self.echoes:
            echoes.append(echo(echoes[-1]))
        joined: Tensor = self.join(torch.cat([x, *skips], dim=1))
        return joined, echoes[1:]


class EnhancedUNet(nn.Module):
    """[N, 1 or 3, rows, cols] in [0, 1] → logits [N, 1, rows, cols], any size.

    Grey images are repeated to three channels, and images are normalised as the encoder's weights expect; the study divided by
    255 twice.
    """

    def __init__(self, network: EfficientNet) -> None:
        """Put a decoder on an encoder, of which the part up to stride 16 is used."""
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        spec = SPECS[network.name]
        self.register_buffer("mean", torch.tensor(spec.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(spec.deviation).reshape(1, 3, 1, 1), persistent=False)
        self.encoder = Encoder(network)
        bottom = self.encoder.taps[-1]
        self.middle = nn.Sequential(nn.MaxPool2d(2), conv(bottom, 32 * N), Residual(32 * N), Residual(32 * N), _act())
        self.decoder = nn.ModuleList()
        below, echoed = 32 * N, 0
        for above, tap in zip((3, 2, 1, 0), reversed(self.encoder.taps), strict=True):
            width = 2 * N * 2**above
            self.decoder.append(Level(below, tap + echoed, width, above, dropout=0.0 if above > 1 else 0.1))
            below, echoed = width, echoed + width
        self.head = nn.Sequential(
            transposed_conv(below, N, 3), nn.Dropout(0.1), conv(N, N), Residual(N), Residual(N), _act(), conv(N, 1, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the same size."""
        return self.with_features(images)[0]

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and as features the global mean of the encoder's deepest map, [N, D]."""
        x = fit_to_multiple(images, 32).expand(-1, 3, -1, -1)
        *taps, bottom = self.encoder((x - self.mean) / self.deviation)
        taps.append(functional.leaky_relu(bottom, 0.1))
        x = self.middle(taps[-1])
        waiting: list[list[Tensor]] = []  # one list per level below, its next echo first
        for level in self.decoder:
            skips = [echoes.pop(0) for echoes in waiting] + [taps.pop()]
            x, echoes = level(x, skips)
            waiting.append(echoes)
        logits: Tensor = self.head(x)
        return logits[..., : images.shape[-2], : images.shape[-1]], bottom.float().mean((2, 3))


def enhanced_unet(encoder: EncoderName = "b7", imagenet: bool = False, weights: str | None = None) -> EnhancedUNet:
    """Lungs in chest X-rays: with B7 20,936,441 trainable parameters, 21,061,369 with the batch-norm statistics.

    Args:
        encoder: A name of :data:`bioseg.models.efficientnet.SPECS`.
        imagenet: Start the encoder from its ImageNet weights.
        weights: File with these weights, named as in the efficientnet-pytorch checkpoints; None: from the encoder's package,
            which only the lite ones have.

    Raises:
        BiosegError: There is no such encoder, or its weights are missing or belong to another network.
    """
    network = EfficientNet(encoder)
    if imagenet:
        load_imagenet(network, Path(weights) if weights else None)
    return EnhancedUNet(network)


def _norm(width: int) -> nn.BatchNorm2d:
    """Batch norm with Keras' defaults: ε 1e-3 and momentum .99, which is .01 in PyTorch."""
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


def _act() -> nn.Module:
    return nn.LeakyReLU(0.1)
