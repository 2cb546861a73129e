"""The contract of every network."""

from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

import bioseg.models
from bioseg.inference.device import place
from bioseg.models import cyclegan, enhanced_unet, residual_fcn
from bioseg.models import pretrained_unet as pretrained
from bioseg.models.unet import ct_unet, cxr_unet, lv_unet, nuclei_unet

Build = Callable[[], nn.Module]
# Name: how to build it, channels it takes, trainable parameters, these with the batch-norm statistics.
NETWORKS: dict[str, tuple[Build, int, int, int]] = {
    "cxr": (cxr_unet, 1, 5_468_897, 5_468_897),
    "ct": (ct_unet, 1, 902_593, 902_593),
    "lv": (lv_unet, 1, 7_759_521, 7_759_521),
    "nuclei": (nuclei_unet, 3, 1_941_105, 1_941_105),
    "own": (lambda: bioseg.models.unet(2, widths=(8, 16, 32)), 2, 29_713, 30_033),
    "residual": (residual_fcn.residual_fcn, 1, 12_718_305, 12_727_969),
    "pretrained": (lambda: pretrained(imagenet=False), 1, 3_832_081, 3_872_689),
    # Smaller than the page has them: its counts are held in tests/models/test_enhanced_unet.py and test_cyclegan.py.
    "enhanced": (lambda: enhanced_unet.enhanced_unet("lite0"), 1, 7_179_353, 7_201_433),
    "cyclegan-unet": (lambda: cyclegan.unet_generator(width=16), 1, 377_540, 377_540),
    "cyclegan-resnet": (lambda: cyclegan.resnet_generator(width=16), 1, 2_208_131, 2_208_131),
}


ROOMS = [f"bioseg.models.{name}" for name in ("unet", "residual_fcn", "pretrained_unet", "enhanced_unet", "cyclegan")]


def test_every_network_is_here() -> None:
    builders = {
        getattr(module, name)
        for module in map(import_module, ROOMS)
        for name in dir(module)
        if name.endswith(("unet", "_fcn", "_generator")) and callable(getattr(module, name))
    }
    assert len(builders) == len(NETWORKS) == 10


@pytest.fixture(params=NETWORKS)
def one(request: pytest.FixtureRequest) -> tuple[nn.Module, int, int, int]:
    build, channels, trainable, whole = NETWORKS[request.param]
    torch.manual_seed(0)
    return build(), channels, trainable, whole


def test_parameters_are_exact(one: tuple[nn.Module, int, int, int]) -> None:
    network, _, trainable, whole = one
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == trainable
    state = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert sum(tensor.numel() for tensor in state.values()) == whole


@pytest.mark.parametrize("shape", [(64, 64), (65, 97), (33, 40), (1, 7), (1, 1), (3, 500)])
def test_any_size_gives_finite_logits_of_that_size(
    one: tuple[nn.Module, int, int, int], shape: tuple[int, int], device: torch.device
) -> None:
    network, channels, *_ = one
    network = place(network, device)
    logits = network.eval()(torch.rand(1, channels, *shape, device=device))
    assert logits.shape == (1, 1, *shape)
    assert logits.isfinite().all()
    logits = network.train()(torch.rand(2, channels, *shape, device=device))
    logits.square().sum().backward()
    assert logits.shape == (2, 1, *shape)
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_every_parameter_learns(one: tuple[nn.Module, int, int, int], device: torch.device) -> None:
    network, channels, *_ = one
    network = place(network, device).train()
    network(torch.rand(2, channels, 64, 64, device=device)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_prediction_depends_on_nothing_but_its_image(
    one: tuple[nn.Module, int, int, int], device: torch.device
) -> None:
    network, channels, *_ = one
    network = network.to(device).eval()
    images = torch.rand(3, channels, 64, 64, device=device)
    with torch.inference_mode():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
        last = network(images.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(together, last, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_weights_and_back_from_safetensors(name: str) -> None:
    build = NETWORKS[name][0]
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        networks.append(build())
    first, same, other = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    networks[2].load_state_dict(load(save({key: value.contiguous() for key, value in first.items()})))
    assert all(torch.equal(first[key], value) for key, value in networks[2].state_dict().items())


def test_features_are_the_global_means_of_the_deepest_map(device: torch.device) -> None:
    for network in (pretrained(imagenet=False), enhanced_unet.enhanced_unet("lite0")):
        network = network.to(device).eval()
        images = torch.rand(2, 1, 64, 64, device=device)
        with torch.inference_mode():
            logits, features = network.with_features(images)
            deepest = network.encoder(((images.expand(-1, 3, -1, -1)) - network.mean) / network.deviation)[-1]
            assert torch.equal(logits, network(images))
        assert torch.allclose(features, deepest.mean((2, 3)), atol=1e-6)


def test_an_image_of_one_plane_has_one_presence(device: torch.device) -> None:
    network = pretrained(imagenet=False, outputs=2, presence=True).to(device).eval()
    logits = network(torch.rand(2, 1, 40, 33, device=device))
    assert logits.shape == (2, 3, 40, 33)
    assert torch.equal(logits[:, 2].amax((1, 2)), logits[:, 2].amin((1, 2)))


def test_it_can_be_exported(one: tuple[nn.Module, int, int, int]) -> None:
    network, channels, *_ = one
    images = torch.rand(1, channels, 64, 64)
    with torch.inference_mode():
        exported = torch.export.export(network.eval(), (images,), strict=False).module()
        assert torch.allclose(exported(images), network(images), atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_channels_are_projected_to_three_at_first_as_means(channels: int) -> None:
    weight = pretrained(imagenet=False, in_channels=channels).project.weight[:, :, 0, 0]
    assert weight.sum(1).tolist() == pytest.approx([1, 1, 1]) and (weight.sum(0) > 0).all()
    keys = set(pretrained(imagenet=False, in_channels=channels).state_dict())
    assert keys - set(pretrained(imagenet=False).state_dict()) == {"project.weight"}


def test_four_channels_learn_and_have_logits_of_their_size(device: torch.device) -> None:
    network = place(pretrained(imagenet=False, in_channels=4), device).train()
    logits = network(torch.rand(2, 4, 33, 47, device=device))
    logits.square().sum().backward()
    assert logits.shape == (2, 1, 33, 47) and network.project.weight.grad.abs().min() > 0


def test_one_and_three_channels_are_one_network() -> None:
    torch.manual_seed(0)
    one = pretrained(imagenet=False, in_channels=1).eval()
    torch.manual_seed(0)
    three, image = pretrained(imagenet=False).eval(), torch.rand(1, 1, 40, 33)
    assert one.state_dict().keys() == three.state_dict().keys()
    assert torch.equal(one(image), three(image)) and torch.equal(three(image), three(image.expand(-1, 3, -1, -1)))


def test_the_studies_initialisations() -> None:
    torch.manual_seed(0)
    nuclei, cxr = nuclei_unet(), cxr_unet()
    for network, gain in ((nuclei, "he"), (cxr, "glorot")):
        weight = network.up[0][0].weight
        fan_in, fan_out = weight[0].numel(), weight.shape[0] * 9
        variance = 2 / fan_in if gain == "he" else 2 / (fan_in + fan_out)
        assert weight.var().item() == pytest.approx(variance, rel=0.05)
        assert not network.up[0][0].bias.any()


def test_the_residual_network_is_flat_on_blocks_of_16() -> None:
    logits = residual_fcn.residual_fcn().eval()(torch.rand(1, 1, 64, 64))
    blocks = logits.reshape(4, 16, 4, 16)
    assert torch.equal(blocks.amax((1, 3)), blocks.amin((1, 3)))
    assert len(logits.unique()) > 1
