"""The residual network of the pneumonia study: four downsampling levels, no decoder, one logit per 16×16 pixels."""

from torch import Tensor, nn
from torch.nn import functional

from bioseg.models.blocks import conv, fit_to_multiple
from bioseg.specs import Width


class Residual(nn.Module):
    """x + two times [batch norm, ReLU, 3×3 convolution] of x."""

    def __init__(self, width: int) -> None:
        """Keep ``width`` channels."""
        super().__init__()
        self.body = nn.Sequential(
            *_activated(width), conv(width, width, bias=False), *_activated(width), conv(width, width, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, rows, cols] → the same."""
        change: Tensor = self.body(x)
        return x + change


class ResidualFcn(nn.Module):
    """[N, in_channels, rows, cols] in [0, 1] → logits [N, 1, rows, cols] that are constant on 16×16 blocks, any size."""

    def __init__(self, in_channels: int = 1) -> None:
        """Build it with fresh weights."""
        super().__init__()
        layers: list[nn.Module] = [conv(in_channels, 32, bias=False)]
        for width in (64, 128, 256, 512):
            layers += [*_activated(width // 2), conv(width // 2, width, 1, bias=False), nn.MaxPool2d(2)]
            layers += [Residual(width), Residual(width)]
        self.body = nn.Sequential(*layers, *_activated(512), conv(512, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the same size."""
        logits = functional.interpolate(self.body(fit_to_multiple(images, 16)), scale_factor=16.0)
        return logits[..., : images.shape[-2], : images.shape[-1]]


def residual_fcn(in_channels: Width = 1) -> ResidualFcn:
    """Pneumonia: 12,718,305 trainable parameters with one channel, 12,727,969 with the batch-norm statistics."""
    return ResidualFcn(in_channels)


def _activated(width: int) -> tuple[nn.Module, nn.Module]:
    """Batch norm and ReLU; the study's momentum .9 is .1 in PyTorch, and its LeakyReLU has slope 0."""
    return nn.BatchNorm2d(width, momentum=0.1, eps=1e-3), nn.ReLU(inplace=True)
