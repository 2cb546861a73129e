"""Every network, exported: valid ONNX that ONNX Runtime and OpenVINO compute as PyTorch does, for any size and number of images."""

import io
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bioseg import model_file
from bioseg.inference.adaptation import reestimate_statistics
from bioseg.inference.backends import Backend, choose
from bioseg.inference.backends.torch import TorchBackend
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.pipelines import export
from bioseg.types import BiosegError

from .test_networks import NETWORKS

SHAPES = ((1, 33, 47), (3, 160, 160), (1, 256, 320))
CPU = torch.device("cpu")
OWN: dict[str, tuple[Callable[[], nn.Module], int]] = {
    **{name: (build, channels) for name, (build, channels, *_) in NETWORKS.items()},
    "four channels": (lambda: pretrained_unet(imagenet=False, in_channels=4), 4),
    "presence": (lambda: pretrained_unet(imagenet=False, outputs=2, presence=True, widths=(16, 16, 16)), 3),
}
"""The battery, and the variant that upsamples its logits and says something of the whole image."""


def lively(build: Callable[[], nn.Module], channels: int) -> nn.Module:
    """With batch-norm statistics of random images: outputs of a fresh network hardly vary."""
    torch.manual_seed(0)
    return reestimate_statistics(build().eval(), [torch.rand(4, channels, 96, 96)])


def backends(data: bytes) -> dict[str, Backend]:
    assert choose.installed() == ["onnx", "openvino"]
    return {name: choose.build(name, data) for name in choose.installed()}


QUICK = {"pretrained", "nuclei", "residual"}


@pytest.mark.parametrize(
    "name",
    [name if any(word in name for word in QUICK) else pytest.param(name, marks=pytest.mark.slow) for name in OWN],
)
def test_it_agrees_with_pytorch(name: str) -> None:
    build, channels = OWN[name]
    network = lively(build, channels)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    data = export.to_onnx(network, channels)
    assert not any(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())

    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import if not one.domain] == [model_file.OPSET]
    assert {one.domain for one in model.opset_import} == {""}
    assert [one.name for one in model.graph.input] == ["images"]
    assert [one.name for one in model.graph.output] == ["logits", "features"]

    reference, others = TorchBackend(network, CPU), backends(data)
    rng = np.random.default_rng(0)
    for count, rows, cols in SHAPES:
        batch = rng.random((count, channels, rows, cols), dtype=np.float32)
        expected = reference(batch)
        assert expected[0].std() > 0
        for other in others.values():
            for one, found in zip(expected, other(batch), strict=True):
                assert found.dtype == np.float32 and found.shape == one.shape
                assert np.allclose(found, one, rtol=1e-3, atol=1e-3 * float(np.abs(one).max(initial=0)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_as_torchscript_it_agrees_too() -> None:
    network = lively(lambda: pretrained_unet(imagenet=False, widths=(16, 16, 16)), 1)
    loaded = torch.jit.load(io.BytesIO(export.to_torchscript(network, 1)))
    images = torch.rand(3, 1, 50, 70)
    with torch.inference_mode():
        for one, found in zip(network.with_features(images), loaded(images), strict=True):
            assert torch.allclose(one, found, atol=1e-5)


class Branch(nn.Module):
    """What tracing gets wrong: it does another thing for small images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * 100 if images.shape[-1] > 64 else images


class Fixed(nn.Module):
    """Takes one size alone."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(-1, 1, 65, 97) * 2


@pytest.mark.parametrize(("network", "words"), [(Branch(), "differ from PyTorch"), (Fixed(), "cannot be exported")])
@pytest.mark.parametrize("to", [export.to_onnx, export.to_torchscript])
def test_a_network_that_changes_by_exporting_is_refused(
    network: nn.Module, words: str, to: Callable[..., bytes]
) -> None:
    with pytest.raises(BiosegError, match=words) as caught:
        to(network, 1)
    assert "\n" not in str(caught.value)
