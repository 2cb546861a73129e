"""Starting from another network's weights: whatever has the same name and shape, and a line that says what has not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bioseg.models import unet
from bioseg.models.pretrained_unet import PretrainedUNet, pretrained_unet
from bioseg.models.transfer import Start, start
from bioseg.types import BiosegError


def network(seed: int, outputs: int = 1, presence: bool = False) -> PretrainedUNet:
    torch.manual_seed(seed)
    return pretrained_unet(widths=(8, 4), imagenet=False, outputs=outputs, presence=presence)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "best.safetensors"
    save_file(network(1).state_dict(), path)
    return path


def differing(a: PretrainedUNet, b: PretrainedUNet) -> set[str]:
    pairs = zip(a.state_dict().items(), b.state_dict().values(), strict=True)
    return {name.split(".")[0] for (name, one), other in pairs if not torch.equal(one, other)}


def test_all_of_the_same_network_is_loaded(stored: Path) -> None:
    own = network(2)
    line = start(own, Start(stored, "base"), "own")
    assert differing(own, network(1)) == set()
    assert "started from base: 314 of 314 tensors loaded, 100.0% of all values; not from there: nothing" in line


def test_half_precision_becomes_whole(stored: Path, tmp_path: Path) -> None:
    half = {name: one.half() if one.is_floating_point() else one for name, one in network(1).state_dict().items()}
    save_file(half, tmp_path / "half.safetensors")
    own = network(2)
    start(own, Start(tmp_path / "half.safetensors", "base"), "own")
    assert own.head.weight.dtype == torch.float32


def test_other_classes_get_a_new_head_whole(stored: Path) -> None:
    own, before = network(2, outputs=3), network(2, outputs=3)
    line = start(own, Start(stored, "base"), "own")
    assert torch.equal(own.head.weight, before.head.weight) and torch.equal(own.head.bias, before.head.bias)
    assert torch.equal(own.encoder.stem[0].weight, network(1).encoder.stem[0].weight)
    assert "not from there: head; of no use here: head" in line


def test_a_bias_never_comes_without_its_weights(tmp_path: Path) -> None:
    tensors = network(1).state_dict()
    tensors["head.weight"] = torch.zeros(1, 7, 1, 1)
    save_file(tensors, tmp_path / "w.safetensors")
    own, before = network(2), network(2)
    start(own, Start(tmp_path / "w.safetensors", "base"), "own")
    assert torch.equal(own.head.bias, before.head.bias)


def test_the_encoder_alone(stored: Path) -> None:
    own = network(2)
    assert "not from there: decoder" in start(own, Start(stored, "base", "encoder"), "own")
    assert differing(own, network(1)) == {"decoder", "head"} and differing(own, network(2)) == {"encoder"}


def test_where_nothing_matches_both_networks_are_named(stored: Path) -> None:
    with pytest.raises(BiosegError, match=r"nothing in base, pretrained_unet matches ct_unet in name and shape"):
        start(unet.ct_unet(), Start(stored, "base, pretrained_unet"), "ct_unet")
    with pytest.raises(BiosegError, match=r"ct_unet has no encoder; take --init-part all"):
        start(unet.ct_unet(), Start(stored, "base", "encoder"), "ct_unet")


@pytest.mark.parametrize("fault", ["missing", "damaged", "not finite"])
def test_a_bad_file_is_named_and_changes_nothing(fault: str, stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    if fault == "damaged":
        path.write_bytes(stored.read_bytes()[:-5])
    elif fault == "not finite":
        tensors = network(1).state_dict()
        tensors["head.bias"][0] = torch.nan
        save_file(tensors, path)
    own = network(2)
    with pytest.raises(BiosegError, match=rf"w\.safetensors: .*({fault}|not there)") as caught:
        start(own, Start(path, "base"), "own")
    assert "\n" not in str(caught.value) and differing(own, network(2)) == set()
