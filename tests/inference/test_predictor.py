"""The predictor is a value: threads share it, nothing that is not finite passes, and it runs on every device."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg import recipes
from bioseg.images.formats import RawImage
from bioseg.images.prepare import Preparation
from bioseg.inference.adaptation import reestimate_statistics
from bioseg.inference.backends import Batch
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.predictor import Evidence, Predictor
from bioseg.inference.translator import Translator
from bioseg.models import cyclegan
from bioseg.models.cyclegan import Pair
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess.masks import Postprocess, Prediction
from bioseg.quality.model import DESCRIPTORS, Distribution, Logistic, QualityModel
from bioseg.recipe import SegmentationRecipe, TranslationRecipe
from bioseg.types import BiosegError

SIZE, CPU = 64, torch.device("cpu")


def recipe(**changes: object) -> SegmentationRecipe:
    found = recipes.get("cxr-lungs")
    assert isinstance(found, SegmentationRecipe)
    return replace(found, preparation=Preparation(size_px=(SIZE, SIZE)), postprocess=Postprocess(), **changes)  # type: ignore[arg-type]


@cache
def networks() -> tuple[nn.Module, ...]:
    """Random weights, with batch-norm statistics of random images, so that outputs and features vary."""
    torch.manual_seed(0)
    built = [pretrained_unet(imagenet=False, widths=(16, 16, 16)).eval() for _ in range(2)]
    return tuple(reestimate_statistics(network, [torch.rand(8, 1, SIZE, SIZE)]) for network in built)


def quality(features: int = 320) -> QualityModel:
    shapes = Distribution((0.0,) * len(DESCRIPTORS), (1.0,) * len(DESCRIPTORS), (), (), 1.0)
    images = Distribution((0.0,) * features, (1.0,) * features, (), (), 1.0)
    some = Logistic(2.0, (0.1, 0.2, 0.1, 0.3, 0.4))
    return QualityModel(shapes, images, some, (some, some), (-3.0,) * 5, 1.0)


def predictor(device: torch.device = CPU) -> Predictor:
    return Predictor(recipe(), tuple(torch_backend(one, device) for one in networks()), quality())


def images(count: int) -> list[RawImage]:
    rng = np.random.default_rng(0)
    return [RawImage(rng.integers(0, 256, (70 + index, 90), dtype=np.uint8)) for index in range(count)]


def everything(found: Prediction) -> tuple[object, ...]:
    assert found.quality is not None
    return found.mask.tobytes(), found.probability.tobytes(), found.quality


class TestThreads:
    def test_four_threads_get_what_one_gets(self) -> None:
        """Forward hooks once gave a thread the features of another's image: 18 of 24 vectors were wrong."""
        shared, raw_images = predictor(), images(24)
        alone = [everything(shared.predict(raw_image)) for raw_image in raw_images]
        assert len({found[0] for found in alone}) > 1 and len({found[2] for found in alone}) == len(alone)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda raw_image: everything(shared.predict(raw_image)), raw_images))
        assert together == alone

    def test_features_are_those_of_the_own_image(self) -> None:
        shared = predictor()
        prepared = [shared.prepare(raw_image)[0] for raw_image in images(24)]
        alone = [shared.features(image) for image in prepared]
        assert all(len(features) == 320 for features in alone)
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(shared.features, prepared))
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))

    def test_nothing_changes_by_predicting(self) -> None:
        shared = predictor()
        before = {name: value.clone() for name, value in networks()[0].state_dict().items()}
        shared.predict(images(1)[0])
        assert all(torch.equal(value, before[name]) for name, value in networks()[0].state_dict().items())
        assert not any(module._forward_hooks for module in networks()[0].modules())
        for thing, name in ((shared, "quality"), (shared.backends[0], "network")):
            with pytest.raises(FrozenInstanceError):
                setattr(thing, name, None)


class TestNotFinite:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_an_output_is_refused(self, value: float) -> None:
        class Bad(nn.Module):
            def forward(self, batch: Tensor) -> Tensor:
                return batch * 0 + torch.tensor(value) * (batch.mean() - batch.mean() + (1 if value != value else 0))

        bad = replace(predictor(), backends=(torch_backend(Bad(), CPU),), quality=None)
        for one in (bad, replace(bad, quality=quality(0))):
            with pytest.raises(BiosegError, match="not finite"):
                one.predict(images(1)[0])

    @pytest.mark.parametrize("part", ["features", "altered copy"])
    def test_evidence_is_flagged_and_the_mask_is_kept(self, part: str) -> None:
        @dataclass(frozen=True, eq=False)
        class Odd:
            """Finite logits for the image itself; something else is not."""

            def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
                logits, features = 20 * (batch - 0.5), np.ones((len(batch), 3), np.float32)
                if part == "features":
                    features[:, 1] = np.nan
                elif len(batch) == 3:
                    logits[2] = np.nan
                return logits, features

        odd = replace(predictor(), backends=(Odd(),), quality=replace(quality(3), flag_below=0.0))
        found = odd.predict(images(1)[0])
        assert found.mask.any() and found.quality is not None
        assert found.quality.flagged and found.quality.score == 0.0
        assert "quality cannot be estimated" in found.quality.reasons[0]


def test_the_number_of_planes_must_be_the_recipe_s() -> None:
    two = nn.Conv2d(1, 2, 1)
    with pytest.raises(BiosegError, match=r"returns 2 planes, preparation names 1: foreground"):
        Predictor(recipe(), (torch_backend(two, CPU),)).predict(images(1)[0])


def test_a_network_without_features_has_none() -> None:
    plain = Predictor(recipe(), (torch_backend(nn.Conv2d(1, 1, 1), CPU),))
    assert plain.features(plain.prepare(images(1)[0])[0]).shape == (0,)


class TestEveryDevice:
    def test_a_prediction_is_close_to_that_of_the_cpu(self, device: torch.device) -> None:
        raw_image = images(1)[0]
        found, expected = predictor(device).predict(raw_image), predictor().predict(raw_image)
        torch_backend(networks()[0], CPU), torch_backend(networks()[1], CPU)  # back, for the other tests
        assert np.allclose(found.probability, expected.probability, atol=0.05)
        assert found.quality is not None and expected.quality is not None
        assert abs(found.quality.score - expected.quality.score) < 0.05

    def test_a_translator_translates(self, device: torch.device) -> None:
        how = recipes.get("cxr-cyclegan-unet")
        assert isinstance(how, TranslationRecipe)
        torch.manual_seed(0)
        pair = Pair(cyclegan.unet_generator(4), cyclegan.unet_generator(4))
        translator = Translator(pair, replace(how, preparation=replace(how.preparation, size_px=(64, 64))), device)
        raw_image = images(1)[0]
        assert translator.translate(raw_image).pixels.shape == raw_image.pixels.shape
        assert translator.translate(raw_image).pixels.dtype == np.uint8
        for plane in translator.cycle(raw_image, backwards=True):
            assert plane.shape == raw_image.pixels.shape and 0 <= plane.min() <= plane.max() <= 1


def test_evidence_holds_every_copy_of_every_network() -> None:
    """Two networks, flipped and not, and the altered copy of each."""
    shared = predictor()
    image, _ = shared.prepare(images(1)[0])
    ((outputs, evidence),) = shared.with_evidence(image[None])
    assert isinstance(evidence, Evidence) and evidence.copies.shape == (6, SIZE, SIZE)
    assert np.allclose(outputs["foreground"], evidence.copies[:4].mean(0), atol=1e-6)
