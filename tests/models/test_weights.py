import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.models.unet import ct_unet, lv_unet, nuclei_unet
from bioseg.models.weights import load_into, read
from bioseg.types import BiosegError


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = nuclei_unet(), nuclei_unet()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_half_precision_weights_become_whole(tmp_path: Path) -> None:
    source, target = nuclei_unet(), nuclei_unet()
    save_file({name: tensor.half() for name, tensor in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors")
    assert next(target.parameters()).dtype == torch.float32


FAULTS = {
    "missing": "not there", "foreign": "damaged", "cut": "damaged", "another network": "another network", "pipe": "not a file",
    "folder": "not a file", "NaN": "not finite", "infinite": "not finite", "half, infinite": "not finite",
    "double, too large": "not finite", "whole numbers": "another network", "complex": "another network",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_loaded_is_named(fault: str, tmp_path: Path) -> None:
    path, network = tmp_path / "w.safetensors", nuclei_unet()
    weights = network.state_dict()
    name = next(iter(weights))
    values = {"NaN": torch.nan, "infinite": torch.inf, "half, infinite": torch.inf, "double, too large": 1e300}
    kinds = {
        "half, infinite": torch.float16, "double, too large": torch.float64, "whole numbers": torch.int32,
        "complex": torch.complex64,
    }  # fmt: skip
    weights[name] = weights[name].to(kinds.get(fault, torch.float32))
    weights[name].view(-1)[0] = values.get(fault, 1)
    if fault == "foreign":
        path.write_bytes(b"\x80\x04 a pickle")
    elif fault == "pipe":
        os.mkfifo(path)
    elif fault == "folder":
        path.mkdir()
    elif fault != "missing":
        save_file(ct_unet().state_dict() if fault == "another network" else weights, path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BiosegError, match=rf"w\.safetensors: .*{FAULTS[fault]}.*train") as caught:
        load_into(nuclei_unet(), path)
    assert "\n" not in str(caught.value)


def test_tensors_are_found_under_the_names_they_once_had(tmp_path: Path) -> None:
    source, target = (pretrained_unet(imagenet=False, presence=True) for _ in range(2))
    old = {re.sub(r"^presence\.", "whole.", name): tensor for name, tensor in source.state_dict().items()}
    assert set(old) != set(source.state_dict())
    save_file(old, tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    plain = lv_unet()
    save_file(
        {name.replace("upsample.", "rise."): one for name, one in plain.state_dict().items()},
        tmp_path / "u.safetensors",
    )
    load_into(lv_unet(), tmp_path / "u.safetensors")


def test_weights_are_checked_against_a_network_that_takes_no_memory(tmp_path: Path) -> None:
    with torch.device("meta"):
        outline = nuclei_unet()
    save_file(nuclei_unet().state_dict(), tmp_path / "w.safetensors")
    assert all(tensor.device.type == "cpu" for tensor in read(tmp_path / "w.safetensors", outline).values())
