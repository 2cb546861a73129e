import pytest
import torch

from bioseg.inference import device as devices
from bioseg.types import BiosegError


@pytest.mark.parametrize(
    "name", ["cuda:7", "cuda:99999999999999999999", "nonsense", "", "meta", "cpu:", "cuda:-1", "gpu", "CPU", "hip", "0"]
)
def test_a_device_that_is_not_there_is_named_in_one_line(name: str) -> None:
    with pytest.raises(BiosegError) as caught:
        devices.choose(name)
    assert str(caught.value).startswith(f"--device {name}: not available here; choose auto, cpu")
    assert "\n" not in str(caught.value)


def test_a_device_that_is_there_is_chosen(device: torch.device) -> None:
    assert devices.choose(str(device)) == device
    assert devices.choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_channels_last_on_every_device(device: torch.device) -> None:
    network = devices.place(torch.nn.Conv2d(4, 4, 3), device)
    assert network.weight.device.type == device.type
    assert network.weight.is_contiguous(memory_format=devices.MEMORY_FORMAT)
