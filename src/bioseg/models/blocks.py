"""Layers that several networks share."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

Initialise = Callable[[Tensor], Tensor]


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int = 3,
    *,
    bias: bool = True,
    initialise: Initialise = nn.init.xavier_uniform_,
) -> nn.Module:
    """A convolution with zero padding that keeps rows × cols, initialised as in Keras: biases start at zero.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel: Side of the kernel; an even one pads one more below and to the right.
        bias: Whether to add a bias.
        initialise: Fills the weights in place.
    """
    layer = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2 if kernel % 2 else 0, bias=bias)
    initialise(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer if kernel % 2 else nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), layer)


def transposed_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
    """A transposed convolution with stride 2 whose output is exactly twice the size; Glorot-uniform weights."""
    odd = kernel % 2
    layer = nn.ConvTranspose2d(
        in_channels, out_channels, kernel, stride=2, padding=kernel // 2 if odd else 0, output_padding=odd
    )
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def he_normal(weight: Tensor) -> Tensor:
    """He et al. 2015: variance 2 / fan-in, truncated at two standard deviations, as Keras does."""
    fan_in = weight[0].numel()
    deviation = (2 / fan_in) ** 0.5 / 0.87962566103423978  # truncation reduces the deviation by this factor
    return nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)


def fit_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of ``multiple``."""
    rows, cols = images.shape[-2:]
    below, right = -rows % multiple, -cols % multiple
    return functional.pad(images, (0, right, 0, below), mode="replicate") if below or right else images
