"""The CycleGAN's networks are those of the study's page."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bioseg.models import cyclegan

COUNTS = {
    cyclegan.discriminator: 6_960_321,
    cyclegan.resnet_generator: 35_264_003,
    cyclegan.unet_generator: 5_996_036,
}


@pytest.mark.parametrize("build", COUNTS)
def test_parameters_and_shapes_are_the_pages(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        network, images = build(), torch.empty(1, 1, 256, 256)
    assert sum(parameter.numel() for parameter in network.parameters()) == COUNTS[build]
    assert len(list(network.buffers())) == 0
    assert network(images).shape == ((1, 1, 16, 16) if build is cyclegan.discriminator else (1, 1, 256, 256))


def test_the_residual_blocks_concatenate_and_do_not_add() -> None:
    torch.manual_seed(0)
    block, x = cyclegan.ConcatenatingBlock(6, 4), torch.rand(2, 6, 8, 8)
    y = block(x)
    assert y.shape == (2, 10, 8, 8)
    assert torch.equal(y[:, 4:], x)


@pytest.mark.parametrize("build", [cyclegan.resnet_generator, cyclegan.unet_generator])
def test_what_is_made_lies_between_minus_one_and_one(build: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    made = build(width=4)(torch.rand(2, 1, 64, 64) * 2 - 1)
    assert -1 <= made.min() < 0 < made.max() <= 1


def test_a_discriminator_sees_patches() -> None:
    """A change in one corner leaves the score of the opposite one alone, but for what the norms carry over."""
    torch.manual_seed(0)
    network = cyclegan.discriminator(width=4)
    for layer in network.modules():
        if isinstance(layer, nn.InstanceNorm2d):
            layer.forward = lambda x: x  # type: ignore[method-assign]
    images = torch.zeros(1, 1, 256, 256)
    changed = images.clone()
    changed[..., :8, :8] = 1
    moved = (network(images) - network(changed)).abs()[0, 0] > 0
    assert moved[0, 0]
    assert not moved[8:].any() and not moved[:, 8:].any()


def test_weights_start_as_the_study_s() -> None:
    torch.manual_seed(0)
    layers = [layer for layer in cyclegan.unet_generator(32).modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) > 20
    every = torch.cat([layer.weight.flatten() for layer in layers])
    assert every.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(every.mean().item()) < 1e-4
    assert all(layer.bias is None or not layer.bias.any() for layer in layers)


def test_there_and_back_go_through_both_generators_in_order() -> None:
    class Plus(nn.Module):
        def __init__(self, first: float, factor: float) -> None:
            super().__init__()
            self.first, self.factor = first, factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + self.first) * self.factor

    pair = cyclegan.Pair(Plus(1, 2), Plus(3, 5))
    assert [float(part) for part in pair.there_and_back(torch.tensor(1.0))] == [4, 35]
    assert [float(part) for part in pair.there_and_back(torch.tensor(1.0), backwards=True)] == [20, 42]
