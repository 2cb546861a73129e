"""A plain U-Net on an ImageNet encoder: the default network of our own recipes."""

from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioseg.models.blocks import fit_to_multiple
from bioseg.models.efficientnet import EfficientNet, Encoder, load_imagenet
from bioseg.models.external_encoder import PATTERN, ExternalEncoder, external_encoder
from bioseg.specs import Fraction, Matches, Width
from bioseg.types import BiosegError

ENCODER_LEVELS = 5
"""The encoder halves the size this many times."""

External = Annotated[str, Matches(PATTERN, "timm:NAME or torchvision:NAME")]
"""An encoder of another package, see :mod:`bioseg.models.external_encoder`."""


class PretrainedUNet(nn.Module):
    """[N, in_channels, rows, cols] in [0, 1] → logits [N, outputs (+ 1), rows, cols], any size.

    Grey images are repeated to three channels, other numbers of channels are projected to three, and images are normalised as
    the encoder's weights expect.
    """

    def __init__(
        self,
        encoder: EfficientNet | ExternalEncoder,
        widths: tuple[int, ...],
        outputs: int,
        presence: bool,
        in_channels: int = 3,
    ) -> None:
        """Put a decoder with ``widths`` channels, deepest level first, on ``encoder``; see :func:`pretrained_unet`."""
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.project = None if in_channels in (1, 3) else _projection(in_channels)
        self.encoder = encoder
        self.register_buffer("mean", torch.tensor(encoder.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(encoder.deviation).reshape(1, 3, 1, 1), persistent=False)
        *skips, bottom = encoder.taps
        below = [bottom, *widths[:-1]]
        skips = [*reversed(skips), 0]
        self.decoder = nn.ModuleList(_double(a + s, w) for a, s, w in zip(below, skips, widths, strict=False))
        self.head = nn.Conv2d(widths[-1], outputs, 1)
        self.presence = nn.Linear(bottom, 1) if presence else None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the same size."""
        return self.with_features(images)[0]

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and as features the global mean of the encoder's deepest map, [N, D]."""
        x = fit_to_multiple(images, 32)
        x = x.expand(-1, 3, -1, -1) if self.project is None else self.project(x)
        *skips, x = self.encoder((x - self.mean) / self.deviation)
        features = x.float().mean((2, 3))
        bottom = x
        for level in self.decoder:
            x = functional.interpolate(x, scale_factor=2.0)
            x = level(torch.cat([x, skips.pop()], dim=1) if skips else x)
        logits: Tensor = self.head(x)
        if len(self.decoder) < ENCODER_LEVELS:
            factor = 2.0 ** (ENCODER_LEVELS - len(self.decoder))
            logits = functional.interpolate(logits, scale_factor=factor, mode="bilinear")
        if self.presence is not None:
            of_image = self.presence(bottom.mean((2, 3)))[:, :, None, None].expand(-1, -1, *logits.shape[-2:])
            logits = torch.cat([logits, of_image], dim=1)
        return logits[..., : images.shape[-2], : images.shape[-1]], features


def pretrained_unet(
    encoder: Encoder | External = "lite0", widths: tuple[Width, ...] = (128, 64, 48, 32, 16), imagenet: bool = True,
    outputs: Width = 1, presence: bool = False, momentum: Fraction = 0.01, in_channels: Width = 3,
    weights: str | None = None,
) -> PretrainedUNet:  # fmt: skip
    """Build one.

    Args:
        encoder: A name of :data:`bioseg.models.efficientnet.SPECS`; or ``timm:NAME`` or ``torchvision:NAME`` where that package is
            installed.
        widths: Channels of the decoder levels, each twice the size of the one before; with fewer than five, logits are computed
            at a half or a quarter of the image's size and upsampled.
        imagenet: Start the encoder from pretrained weights: ImageNet's, or what the package of the encoder has.
        outputs: Planes of logits per pixel.
        presence: Add a plane that is constant: one logit for the whole image, from the encoder's global mean.
        momentum: Weight of a batch in the encoder's running statistics. With ImageNet's .01 they lag behind for hundreds of
            steps; .1 suits trainings of a few hundred.
        in_channels: Of images. With 3, grey images are taken too, as with 1; another number is projected to three by a learned
            1×1 convolution before the encoder, so that its weights remain as they are.
        weights: File with the encoder's pretrained weights, see :func:`load_imagenet` and :func:`external_encoder`; None: from the
            encoder's package.

    Raises:
        BiosegError: There is no such encoder, its weights are not installed, or there are more than five levels, or none.
    """
    if not 1 <= len(widths) <= ENCODER_LEVELS:
        raise BiosegError(f"network.widths: {len(widths)} levels; give 1 to {ENCODER_LEVELS}")
    network: EfficientNet | ExternalEncoder
    if ":" in encoder:
        network = external_encoder(encoder, pretrained=imagenet, weights=weights)
    else:
        network = EfficientNet(encoder)
        if imagenet:
            load_imagenet(network, Path(weights) if weights else None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    return PretrainedUNet(network, widths, outputs, presence, in_channels)


def _projection(in_channels: int) -> nn.Conv2d:
    """1×1, at first means: of every third channel, beginning with one of the first three; of all where there is none."""
    chosen = [[float(channel % 3 == colour) for channel in range(in_channels)] for colour in range(3)]
    weight = torch.tensor([row if any(row) else [1.0] * in_channels for row in chosen])
    layer = nn.Conv2d(in_channels, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_((weight / weight.sum(1, keepdim=True))[:, :, None, None])
    return layer


def _double(in_channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a in (in_channels, width):
        layers += [nn.Conv2d(a, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
