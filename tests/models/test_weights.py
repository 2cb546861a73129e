from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bioseg.models import unet
from bioseg.models.weights import load_into
from bioseg.types import BiosegError


def test_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = unet.nuclei_unet(), unet.nuclei_unet()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_half_precision_weights_become_whole(tmp_path: Path) -> None:
    source, target = unet.nuclei_unet(), unet.nuclei_unet()
    save_file({name: tensor.half() for name, tensor in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors")
    assert next(target.parameters()).dtype == torch.float32


@pytest.mark.parametrize("fault", ["missing", "foreign", "cut", "another network"])
def test_what_cannot_be_loaded_is_named(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    if fault == "foreign":
        path.write_bytes(b"\x80\x04 a pickle")
    elif fault != "missing":
        save_file((unet.ct_unet() if fault == "another network" else unet.nuclei_unet()).state_dict(), path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BiosegError, match=r"w\.safetensors: .*train") as caught:
        load_into(unet.nuclei_unet(), path)
    assert "\n" not in str(caught.value)
