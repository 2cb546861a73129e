"""A trained model as a value: from an image to a mask on the image's own grid.

A prediction has four stages, each a function of plain values: :meth:`Predictor.prepare`, :meth:`Predictor.forward`,
:meth:`Predictor.finish` and :meth:`Predictor.review`. :meth:`Predictor.predict` runs them one after the other for one image;
the pipeline of many images overlaps them.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bioseg.classes import united
from bioseg.images.formats import RawImage, to_raw_image
from bioseg.images.prepare import Placement, Preparation, prepare_image, restore
from bioseg.inference.backends import Backend, Batch
from bioseg.inference.tiles import in_tiles
from bioseg.inference.tta import predict_copies
from bioseg.postprocess.masks import Prediction, finish
from bioseg.recipe import SegmentationRecipe
from bioseg.types import Array, BiosegError, Mask, Probability, QualityEstimate

if TYPE_CHECKING:
    from pydicom import Dataset

Image = NDArray[np.float32]
"""A prepared image [channels, rows, cols] in [0, 1]."""

Outputs = dict[str, Probability]
"""Probabilities [rows, cols] by the names of ``preparation.planes``."""

Source: TypeAlias = "RawImage | Array | Path | str | bytes | Dataset"
"""What a model predicts: an image as :meth:`Predictor.predict` takes it."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the quality of a prediction is estimated from; everything on the prepared grid.

    Attributes:
        copies: [V, rows, cols] in [0, 1], the foreground probability, of every network for every augmented copy.
        probability: [rows, cols] in [0, 1], their mean, from which the mask was made.
        mask: [rows, cols], after postprocessing.
        threshold: Pixels above it are foreground.
        features: [D], the mean of the encoder's deepest map; empty where the network has no encoder.
    """

    copies: Probability
    probability: Probability
    mask: Mask
    threshold: float
    features: NDArray[np.float32]


class QualityModel(Protocol):
    """Estimates the quality of a prediction; see :class:`bioseg.quality.model.QualityModel`."""

    def estimate(self, evidence: Evidence, /) -> QualityEstimate:
        """The quality, and reasons to review the prediction."""
        ...


class Applicability(Protocol):
    """Says what is unusual of an image and its mask; see :class:`bioseg.quality.applicability.Applicability`."""

    def reasons(
        self, raw_image: RawImage, image: Image, prediction: Prediction, how: Preparation, /
    ) -> tuple[str, ...]:
        """Why a person should review a prediction."""
        ...


@dataclass(frozen=True, eq=False)
class Predictor:
    """One or several networks of one recipe; several are an ensemble. Safe to share among threads.

    Attributes:
        recipe: How images are prepared and predictions postprocessed.
        backends: One per network.
        quality: Estimates the quality of predictions; None: none is estimated.
        transform: Applied to an image first, for example a translation to another domain; None: nothing.
        fingerprint: The same for the same recipe, weights and everything else that decides what is predicted; empty: unknown.
        applicability: Flags images and masks that are unlike those the model is meant for; None: flags none.
    """

    recipe: SegmentationRecipe
    backends: tuple[Backend, ...]
    quality: QualityModel | None = None
    transform: Callable[[RawImage], RawImage] | None = None
    fingerprint: str = ""
    applicability: Applicability | None = None

    def with_channels(self, *names: str | int) -> "Predictor":
        """The same model using these channels of an image, by number from 1 or by name, in the order of its own.

        Raises:
            BiosegError: It takes another number of channels; one that takes 3 takes 1 too, as grey.
        """
        recipe = replace(self.recipe, preparation=replace(self.recipe.preparation, select=names))
        digest = hashlib.sha256(f"{self.fingerprint} {names!r}".encode()).hexdigest()[:16]
        return replace(self, recipe=recipe, fingerprint=digest if self.fingerprint else "")

    def predict(self, source: Source) -> Prediction:
        """Segment one image.

        Args:
            source: A file or the content of one, which ``recipe.reader`` reads if there is one; pixels [rows, cols] or
                [rows, cols, channels]; a ``pydicom.Dataset``; or what :func:`bioseg.images.formats.read` returned.

        Returns:
            The prediction on the image's own grid.

        Raises:
            BiosegError: It is no image that can be read, or the network's output is not finite.
        """
        raw_image = to_raw_image(source, self.recipe.reader)
        image, placement = self.prepare(raw_image)
        return self.review(raw_image, image, self.finish(self.forward(image[None])[0], placement))

    def predict_prepared(self, image: Image) -> Prediction:
        """Segment a prepared image [channels, rows, cols] in [0, 1]; the prediction is on the prepared grid."""
        return self.finish(self.forward(image[None])[0], None)

    def prepare(self, raw_image: RawImage) -> tuple[Image, Placement]:
        """The networks' input [channels, rows, cols] in [0, 1], and where it lies in the image."""
        return prepare_image(self.transform(raw_image) if self.transform else raw_image, self.recipe.preparation)

    def forward(self, batch: Batch) -> list[tuple[Outputs, Evidence | None]]:
        """Outputs for each prepared image of a batch [N, channels, rows, cols], with evidence where quality is estimated.

        Raises:
            BiosegError: The network returns another number of planes than the recipe names, or values that are not finite.
        """
        if self.quality is None:
            return [(outputs, None) for outputs in self.outputs(batch)]
        return list(self.with_evidence(batch))

    def finish(self, found: tuple[Outputs, Evidence | None], placement: Placement | None) -> Prediction:
        """Postprocess outputs of the prepared grid; with a ``placement``, on the image's own grid."""
        outputs, evidence = found
        estimate = self.quality.estimate(evidence) if self.quality and evidence else None
        if placement:
            outputs = self.restored(outputs, placement)
        return replace(finish(outputs, self.recipe.postprocess, self.recipe.preparation.classes), quality=estimate)

    def review(self, raw_image: RawImage, image: Image, prediction: Prediction) -> Prediction:
        """The prediction with flags where the image or the mask is unlike those the model is meant for."""
        if self.applicability is None:
            return prediction
        return replace(
            prediction, flags=self.applicability.reasons(raw_image, image, prediction, self.recipe.preparation)
        )

    def restored(self, outputs: Outputs, placement: Placement) -> Outputs:
        """Outputs of the prepared grid on the image's own."""
        return {name: restore(plane, placement) for name, plane in outputs.items()}

    def outputs(self, batch: Batch) -> list[Outputs]:
        """Mean probabilities over all networks and augmented copies, tile by tile where the images are large."""
        return [self._named(planes) for planes in in_tiles(self._mean, batch)]

    def with_evidence(self, batch: Batch) -> list[tuple[Outputs, Evidence]]:
        """The same with evidence for its quality, which takes one more copy per network."""
        classes = self.recipe.preparation.classes
        found = [predict_copies(backend, batch, self.recipe.tta, classes, altered=True) for backend in self.backends]
        copies = [planes for one in found for planes in one.planes]
        mean = _mean_of(copies)
        every = np.stack(
            [
                united(np.moveaxis(planes, 1, 0)[: len(classes.names)], classes)
                for planes in (*copies, *(one.altered for one in found if one.altered is not None))
            ]
        )
        how, result = self.recipe.postprocess, []
        for index, planes in enumerate(mean):
            outputs = self._named(planes)
            prediction = finish(outputs, how, classes)
            evidence = Evidence(
                every[:, index], prediction.probability, prediction.mask, how.threshold, found[0].features[index]
            )
            result.append((outputs, evidence))
        return result

    def features(self, image: Image) -> NDArray[np.float32]:
        """The first network's features [D] of a prepared image [channels, rows, cols]."""
        return np.asarray(self.backends[0](image[None])[1][0])

    def _mean(self, batch: Batch) -> NDArray[np.float32]:
        classes = self.recipe.preparation.classes
        networks = (predict_copies(backend, batch, self.recipe.tta, classes).planes for backend in self.backends)
        return _mean_of(chain.from_iterable(networks))

    def _named(self, planes: NDArray[np.float32]) -> Outputs:
        names = self.recipe.preparation.planes
        if len(planes) != len(names):
            raise BiosegError(
                f"network: returns {len(planes)} planes, preparation names {len(names)}: {', '.join(names)}"
            )
        if not np.isfinite(planes).all():
            raise BiosegError("network: its output is not finite for this image; train again or restore the weights")
        return dict(zip(names, planes, strict=True))


def _mean_of(copies: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean, summed one after the other."""
    rest = iter(copies)
    total, count = next(rest).copy(), 1
    for planes in rest:
        total += planes
        count += 1
    return total / np.float32(count)
