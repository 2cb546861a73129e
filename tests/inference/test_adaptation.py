"""Adaptation without truth: histograms, and batch-norm statistics."""

import numpy as np
import pytest
import torch
from torch import nn

from bioseg.inference.adaptation import match_histogram, mean_quantiles, reestimate_statistics
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
    def test_they_become_those_of_the_images_and_the_weights_stay(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.BatchNorm2d(2, affine=False), nn.Conv2d(2, 1, 1)).eval()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        batches = [torch.randn(8, 2, 16, 16) * 3 + 5, torch.randn(8, 2, 16, 16) * 3 + 7]
        adapted = reestimate_statistics(network, batches)
        assert not adapted.training and not adapted[0].training
        assert torch.allclose(adapted[0].running_mean, torch.tensor(6.0), atol=0.2)
        assert torch.allclose(adapted[0].running_var, torch.tensor(9.0), rtol=0.1)
        assert torch.equal(adapted[1].weight, before["1.weight"])
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    def test_dropout_stays_off(self):
        network = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Dropout(0.9)).eval()
        adapted = reestimate_statistics(network, [torch.rand(4, 1, 8, 8)])
        assert torch.equal(adapted(torch.ones(1, 1, 4, 4)), adapted(torch.ones(1, 1, 4, 4)))
