"""Encoders of other packages, against stand-ins with the documented interface of timm and torchvision.

The real packages need a PyTorch build of their own and are not installed where these tests run.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bioseg.models.external_encoder import external_encoder
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.pipelines.open import blank, rebuild
from bioseg.record import decode, encode
from bioseg.specs import call
from bioseg.types import BiosegError

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.2, 0.1)


class Backbone(nn.Module):
    """A convolution per stride; ``first`` is the stride of the first, ``last`` of the last."""

    def __init__(self, first: int = 2, last: int = 32) -> None:
        super().__init__()
        steps, stride = [nn.Conv2d(3, 4, 3, first, 1)], first
        while stride < last:
            steps.append(nn.Conv2d(4, 4, 3, 2, 1))
            stride *= 2
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for step in self.steps:
            x = step(x)
            maps.append(x)
        return maps


NETWORKS: dict[str, Callable[[], Backbone]] = {
    "resnet18": Backbone,
    "resnet34": lambda: Backbone(last=64),
    "convnext_tiny": lambda: Backbone(first=4),
    "vit_tiny": lambda: Backbone(first=16, last=16),
}


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """``timm`` as far as it is used: is_model, list_models, create_model, pretrained_cfg."""

    def create_model(
        name: str, pretrained: bool = False, features_only: bool = False, pretrained_cfg_overlay: Any = None
    ) -> nn.Module:
        network: Any = NETWORKS[name.partition(".")[0]]()
        if pretrained:
            network.load_state_dict(pretrained_cfg_overlay["state_dict"])
        network.pretrained_cfg = {"mean": MEAN, "std": DEVIATION}
        return network  # type: ignore[no-any-return]

    module: Any = ModuleType("timm")
    module.is_model, module.list_models, module.create_model = (
        NETWORKS.__contains__,
        lambda: list(NETWORKS),
        create_model,
    )
    monkeypatch.setitem(sys.modules, "timm", module)


class Nodes(nn.Module):
    """What torchvision's feature extraction returns: some nodes of a network, by name."""

    def __init__(self, network: Backbone, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, x: Tensor) -> dict[str, Any]:
        maps = self.network(x)
        known = {"x": x, "size": x.shape, **{f"steps.{index}": one for index, one in enumerate(maps)}}
        known["pooled"] = maps[-1].mean((2, 3))
        return {name: known[name] for name in self.names}


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torchvision`` as far as it is used: list_models, get_model, get_model_weights, feature extraction."""
    module, models, extraction = (ModuleType(name) for name in ("torchvision", "models", "extraction"))
    parts: Any = (module, models, extraction)
    module, models, extraction = parts
    module.models = models
    models.list_models = lambda module: list(NETWORKS)
    models.get_model = lambda name, weights: NETWORKS[name]()
    how = SimpleNamespace(mean=list(MEAN), std=list(DEVIATION))
    models.get_model_weights = lambda name: SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: how))

    def nodes(network: Backbone) -> tuple[list[str], list[str]]:
        names = ["x", "size", *(f"steps.{index}" for index in range(len(network.steps))), "pooled"]
        return [*names, "dropout"], names

    extraction.get_graph_node_names, extraction.create_feature_extractor = nodes, Nodes
    monkeypatch.setitem(sys.modules, "torchvision", module)
    monkeypatch.setitem(sys.modules, "torchvision.models.feature_extraction", extraction)


BOTH = ["timm:resnet18", "torchvision:resnet18", "timm:convnext_tiny", "torchvision:convnext_tiny"]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.usefixtures("timm", "torchvision")
def test_maps_are_tapped_by_stride(name: str) -> None:
    encoder = external_encoder(name, pretrained=False)
    maps = encoder(torch.rand(2, 3, 64, 96))
    assert [one.shape[1] for one in maps] == encoder.taps == [3 if "convnext" in name else 4, 4, 4, 4, 4]
    assert [(one.shape[2], one.shape[3]) for one in maps] == [(64 // s, 96 // s) for s in (2, 4, 8, 16, 32)]
    assert (encoder.mean, encoder.deviation) == (MEAN, DEVIATION)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.usefixtures("timm", "torchvision")
def test_a_unet_on_it_is_recorded_reopened_and_every_parameter_learns(name: str, tmp_path: Path) -> None:
    how = call(pretrained_unet, encoder=name, widths=(8, 4), imagenet=False)
    assert decode(encode(how), "record") == how
    network = how().train()
    assert torch.equal(network.mean.flatten(), torch.tensor(MEAN))
    network(torch.rand(2, 1, 40, 33)).square().sum().backward()
    assert [key for key, one in network.named_parameters() if one.grad is None] == []
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    again = rebuild(how, tmp_path / "w.safetensors").eval()
    images = torch.rand(1, 3, 65, 97)
    assert torch.equal(again(images), network.eval()(images)) and blank(how)(images).shape == (1, 1, 65, 97)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
@pytest.mark.usefixtures("timm", "torchvision")
def test_weights_from_a_file(package: str, tmp_path: Path) -> None:
    path, source = tmp_path / "w.safetensors", Backbone()
    save_file(source.state_dict(), path)
    encoder = external_encoder(f"{package}:resnet18", pretrained=True, weights=str(path))
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(encoder(image)[-1], source(image)[-1])
    with pytest.raises(BiosegError, match=r"network.weights: of another network \(2 tensors differ"):
        external_encoder(f"{package}:resnet34", pretrained=True, weights=str(path))
    with pytest.raises(BiosegError, match=r"gone.safetensors: not there; give a file that is there"):
        external_encoder(f"{package}:resnet18", pretrained=True, weights=str(tmp_path / "gone.safetensors"))


@pytest.mark.usefixtures("timm", "torchvision")
def test_what_is_refused_says_how() -> None:
    for package in ("timm", "torchvision"):
        with pytest.raises(BiosegError, match=f"{package} has no such network; did you mean resnet18, resnet34"):
            external_encoder(f"{package}:resnet1", pretrained=False)
        with pytest.raises(BiosegError, match=rf"no feature map at stride 4; choose .*{package}:resnet18"):
            external_encoder(f"{package}:vit_tiny", pretrained=False)
    with pytest.raises(BiosegError, match=r"choose b0.* or timm:NAME or torchvision:NAME"):
        call(pretrained_unet, encoder="resnet18")
    for crafted in ("timm:hf-hub:someone/model", "timm:../model", "os:system"):
        with pytest.raises(BiosegError, match="timm:NAME or torchvision:NAME"):
            call(pretrained_unet, encoder=crafted)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("timm", "torchvision"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(BiosegError, match=f"pip install {package}") as caught:
            external_encoder(f"{package}:resnet18", pretrained=False)
        assert "\n" not in str(caught.value)
