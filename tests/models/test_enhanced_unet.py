"""The enhanced U-Net is that of the study's page, and stands on any encoder."""

import pytest
import torch
from torch import Tensor

from bioseg.models.efficientnet import SPECS, EfficientNet
from bioseg.models.enhanced_unet import Encoder, enhanced_unet
from bioseg.types import BiosegError


def test_parameters_and_taps_are_the_pages() -> None:
    with torch.device("meta"):
        network = enhanced_unet()
        maps = network.encoder(torch.empty(1, 3, 256, 256))
    assert [tuple(one.shape[1:]) for one in maps] == [(192, 128, 128), (288, 64, 64), (480, 32, 32), (1344, 16, 16)]
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in state.values()) == 21_061_369
    assert sum(parameter.numel() for parameter in network.parameters()) == 20_936_441


def test_any_encoder_fits_under_it() -> None:
    shapes = set()
    for name in SPECS:
        with torch.device("meta"):
            logits = enhanced_unet(name)(torch.empty(1, 1, 40, 70))
        shapes.add(tuple(logits.shape))
    assert shapes == {(1, 1, 40, 70)}


def test_the_encoder_returns_activations_from_inside_the_blocks() -> None:
    torch.manual_seed(0)
    whole = EfficientNet("lite0").eval()
    seen: list[Tensor] = []
    for part in (*(whole.stages[index][0].expand for index in (1, 2, 3)), whole.stages[4][-1].filter):
        part.register_forward_hook(lambda module, given, made: seen.append(made.clone()))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        whole(images)
        inside, seen[:] = list(seen), []
        handed = Encoder(whole)(images)
    assert len(inside) == len(handed) == 4
    assert all(torch.equal(a, b) for a, b in zip(inside, handed, strict=True))


def test_imagenet_weights_reach_it() -> None:
    network = enhanced_unet("lite0", imagenet=True)
    torch.manual_seed(0)
    fresh = enhanced_unet("lite0")
    name = "encoder.stages.1.0.expand.0.weight"
    assert not torch.equal(network.state_dict()[name], fresh.state_dict()[name])
    with pytest.raises(BiosegError, match="in no package"):
        enhanced_unet("b0", imagenet=True)
    with pytest.raises(BiosegError, match="no such encoder"):
        enhanced_unet("b8")
