"""Adaptation without ground truth: histograms, and batch-norm statistics."""

import numpy as np
import pytest
import torch
from torch import nn

from bioseg.inference.adaptation import match_histogram, mean_quantiles, reestimate_statistics, reestimated
from bioseg.inference.backends.torch import TorchBackend, torch_backend
from bioseg.models.unet import nuclei_unet
from bioseg.types import BiosegError


class TestHistograms:
    rng = np.random.default_rng(0)

    def test_a_set_of_one_gives_its_own_histogram(self):
        """A dark image with the order of its pixels kept gets a bright one's histogram."""
        bright, dark = (self.rng.random((64, 64)).astype(np.float32) ** power for power in (0.5, 3))
        after = match_histogram(dark, mean_quantiles([bright]))
        assert after.dtype == np.float32 and after.shape == dark.shape
        assert np.sort(after.ravel()) == pytest.approx(np.sort(bright.ravel()), abs=0.03)
        assert (np.diff(after.ravel()[np.argsort(dark.ravel())]) >= 0).all()

    def test_the_histogram_of_a_set_lies_between_those_of_its_images(self):
        low, high = np.full((4, 4), 0.2, np.float32), np.full((4, 4), 0.6, np.float32)
        assert mean_quantiles([low, high]) == pytest.approx(np.full(257, 0.4))

    def test_many_pixels_of_one_grey_stay_one_grey(self):
        image = np.zeros((10, 10), np.float32)
        image[5:] = self.rng.random((5, 10)) + 1
        after = match_histogram(image, np.linspace(0, 1, 257, dtype=np.float32))
        assert len(np.unique(after[:5])) == 1
        assert after[0, 0] == pytest.approx(0.25, abs=0.01)
        flat = match_histogram(np.full((3, 3), 7, np.float32), np.linspace(0, 1, 257, dtype=np.float32))
        assert flat == pytest.approx(np.full((3, 3), 0.5), abs=0.01)

    def test_no_image(self):
        with pytest.raises(BiosegError, match="no image"):
            mean_quantiles([])


class TestStatistics:
    def test_they_become_those_of_the_images_and_the_weights_stay(self, device):
        torch.manual_seed(0)
        network = nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.Conv2d(2, 1, 1)).eval().to(device)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        batches = [(torch.randn(8, 2, 16, 16) * 3 + mean).to(device) for mean in (5, 7)]
        adapted = reestimate_statistics(network, batches)
        assert not adapted.training and not adapted[0].training
        assert torch.allclose(adapted[0].running_mean.cpu(), torch.tensor(6.0), atol=0.2)
        assert torch.allclose(adapted[0].running_var.cpu(), torch.tensor(9.0), rtol=0.1)
        assert torch.equal(adapted[1].weight, before["1.weight"])
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def test_the_copy_is_an_ordinary_network(self):
        """Made in inference mode, its tensors could not be moved or exported."""
        network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)).eval()
        adapted = reestimate_statistics(network, [torch.rand(4, 1, 8, 8)])
        assert not any(tensor.is_inference() for tensor in adapted.state_dict().values())
        assert torch_backend(adapted, torch.device("cpu"))(np.zeros((1, 1, 8, 8), np.float32))[0].shape == (1, 2, 8, 8)

    def test_dropout_stays_off(self):
        network = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Dropout(0.9)).eval()
        adapted = reestimate_statistics(network, [torch.rand(4, 1, 8, 8)])
        assert torch.equal(adapted(torch.ones(1, 1, 4, 4)), adapted(torch.ones(1, 1, 4, 4)))


class TestBackends:
    CPU = torch.device("cpu")

    def test_a_new_backend_and_the_old_one_as_it_was(self, device):
        torch.manual_seed(0)
        backend = torch_backend(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1)), device)
        batches = list((torch.rand(16, 1, 8, 8) + 4).split(8))
        (adapted,) = reestimated([backend], batches)
        assert isinstance(adapted, TorchBackend) and adapted.device == device
        assert adapted.network[0].running_mean.item() == pytest.approx(4.5, abs=0.1)
        assert backend.network[0].running_mean.item() == 0

    def test_a_network_without_batch_norm_says_so(self):
        with pytest.raises(BiosegError, match="no batch norm to adapt; predict without adaptation"):
            reestimated([torch_backend(nuclei_unet(), self.CPU)], [torch.rand(2, 3, 16, 16)])

    def test_a_backend_of_another_kind_says_so(self):
        with pytest.raises(BiosegError, match="needs PyTorch; give the run folder"):
            reestimated([lambda batch: (batch, batch)], [torch.rand(2, 3, 16, 16)])

    def test_a_last_batch_of_one_joins_the_one_before(self):
        """By itself it would have the weight of eight images, and no variance at all where the network pools to one pixel."""
        backend = torch_backend(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1)), self.CPU)
        images = torch.arange(9.0).reshape(9, 1, 1, 1).expand(9, 1, 4, 4)
        (adapted,) = reestimated([backend], images.split(8))
        assert isinstance(adapted, TorchBackend)
        assert adapted.network[1].running_mean.item() == pytest.approx(4.0)

    def test_too_little_for_statistics_is_one_line(self):
        backend = torch_backend(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1)), self.CPU)
        with pytest.raises(BiosegError, match="1 image of 4 × 6 px is too little") as caught:
            reestimated([backend], [torch.rand(1, 1, 4, 6)] * 3)
        assert "\n" not in str(caught.value)
