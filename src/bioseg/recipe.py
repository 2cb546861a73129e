"""Recipes: how to prepare, train and evaluate, as frozen values that are valid once built.

A recipe is the method. Which folder is read, in which layout and with which split are arguments of the run; a recipe names the
ones it was published with as defaults.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from bioseg.datasets.augment import Augmentation
from bioseg.datasets.splits import Split
from bioseg.images.prepare import Preparation
from bioseg.postprocess.masks import Postprocess
from bioseg.specs import Call, Count, NonNegative, Own, Positive, Range, Seed, Takes, Whole, check
from bioseg.types import BiosegError, Case, Mask, Probability

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer
else:
    try:
        from torch import Tensor
        from torch.nn import Module
        from torch.optim import Optimizer
    except ImportError:  # where model files are run without PyTorch, no network is built and nothing is trained
        Tensor = Module = Optimizer = Any

TTA = Literal["none", "flip", "dihedral"]
"""Test-time augmentation: none; the image and its left-right mirror image; both of these at 0, 90, 180 and 270°."""

Layout = Annotated[Call[list[Case]], Takes(1)]
SplitBy = Annotated[Call[Split], Takes(1)]
FoldBy = Annotated[Call[list[Split]], Takes(1, ("folds",))]
Network = Annotated[Call[Module], Takes(0)]
Loss = Annotated[Call[Tensor], Takes(2)]
OptimiserOf = Annotated[Call[Optimizer], Takes(1)]
Schedule = Annotated[Call[float], Takes(1)]
Choose = Annotated[Call[Postprocess], Takes(2)]
FitQuality = Annotated[Call[Any], Takes(3)]
Augment = Annotated[Call[Any], Takes(3), Own()]
ReaderOf = Annotated[Call[Any], Takes(1), Own()]


@dataclass(frozen=True)
class Training:
    """How a segmentation network is fitted.

    Attributes:
        loss: (logits [N, K, rows, cols], targets of the same shape, 0 or 1) → scalar tensor.
        optimiser: (parameter groups) → optimiser.
        learning_rate: Base learning rate, scaled by ``schedule``.
        encoder_learning_rate: Base learning rate of ``network.encoder`` where that is pretrained; None: as all others.
        schedule: (:class:`bioseg.training.schedules.TrainState`) → factor on the learning rate.
        epochs: At most this many.
        freeze_epochs: ``network.encoder`` keeps its weights and batch-norm statistics in so many first epochs.
        batch_size: Images per step.
        validation_batch_size: Images per validation step; matters where a loss spans the batch.
        patience: Stop after this many epochs without a lower validation loss; None: never.
        min_delta: How much lower counts as lower.
        seed: Of weights, order, augmentation and dropout.
        bfloat16: Train in bfloat16 on a CPU that computes it; a GPU that does always trains so; prediction on a CPU never.
    """

    loss: Loss
    optimiser: OptimiserOf
    schedule: Schedule
    learning_rate: Positive = 1e-3
    encoder_learning_rate: Positive | None = None
    epochs: Count = 40
    batch_size: Count = 16
    validation_batch_size: Count = 16
    patience: Count | None = None
    min_delta: NonNegative = 0.0
    seed: Seed = 0
    bfloat16: bool = False
    freeze_epochs: Whole = 0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "training")


@dataclass(frozen=True)
class SegmentationRecipe:
    """How to train and evaluate a segmentation model.

    Attributes:
        name: What ``bioseg train`` is told.
        task: What is segmented in what.
        purpose: One line: for whom, or what it reproduces.
        layout: Default of the run: (folder) → cases sorted by id.
        split: Default of the run: (cases) → :class:`bioseg.datasets.splits.Split`.
        fold: (cases, folds=n) → one split per fold; used with ``--folds``.
        preparation: From the file's pixels to the network's input.
        network: () → module, [N, channels, rows, cols] → logits [N, K, rows, cols], K the number of ``preparation.planes``.
        training: How it is fitted.
        augmentation: Of training batches.
        augment: A function of one's own on training batches, after ``augmentation``: (images [N, channels, rows, cols] in
            [0, 1], targets [N, K, rows, cols], :class:`numpy.random.Generator`) → the same two, which may be changed in place.
        postprocess: From probabilities to the mask.
        tta: Test-time augmentation.
        evaluated_on: Grid of the scores: the image's own, or the prepared one as in the reference systems.
        reference_scores: (probability, mask, truth) → scores under the names a publication uses; None: none.
        choose: (examples, postprocess) → postprocess, chosen on validation cases after training
            (:mod:`bioseg.postprocess.choose`).
        quality: (predictor, training samples, validation samples) → quality model, fitted after training
            (:mod:`bioseg.quality.fit`).
        reader: A function of one's own for files that bioseg does not read: (path or bytes) → pixels or a ``RawImage``.
        configure: (recipe, cases) → (recipe, reasons), for a recipe that configures itself from the data.
    """

    name: str
    task: str
    purpose: str
    layout: Layout
    split: SplitBy
    fold: FoldBy
    preparation: Preparation
    network: Network
    training: Training
    augmentation: Augmentation = Augmentation()
    augment: Augment | None = None
    postprocess: Postprocess = Postprocess()
    tta: TTA = "none"
    evaluated_on: Literal["original", "prepared"] = "original"
    reference_scores: Callable[[Probability, Mask, Mask], dict[str, float]] | None = None
    choose: Choose | None = None
    quality: FitQuality | None = None
    reader: ReaderOf | None = None
    configure: "Callable[[SegmentationRecipe, list[Case]], tuple[SegmentationRecipe, list[str]]] | None" = None

    def __post_init__(self) -> None:
        """Refuse invalid values, and parts that do not fit together."""
        check(self, "")
        if self.quality and self.preparation.fit == "patches":
            raise BiosegError(
                "quality: compares whole images of one size, but preparation.fit is patches; leave quality out"
            )
        if self.evaluated_on == "prepared" and self.postprocess.boxes:
            raise BiosegError(
                "evaluated_on: 'prepared' would compare predicted boxes on the prepared grid with true ones on the image's "
                "own; choose original, or leave out postprocess.boxes"
            )
        if self.postprocess.instances and "marker" not in self.preparation.targets:
            raise BiosegError("postprocess.instances: needs markers; add marker to preparation.targets")
        if self.postprocess.boxes and self.preparation.classes.several:
            raise BiosegError("postprocess.boxes: boxes are made of one class; leave them out, or name one class")
        if unknown := {one.name for one in self.postprocess.per_class} - set(self.preparation.classes.names):
            raise BiosegError(
                f"postprocess.per_class: {sorted(unknown)[0]!r} is no class; there are: "
                f"{', '.join(self.preparation.classes.names)}"
            )


@dataclass(frozen=True)
class AdversarialTraining:
    """How two generators and two discriminators are fitted against each other (Zhu et al. 2017).

    Attributes:
        optimiser: (parameter groups) → optimiser.
        schedule: (:class:`bioseg.training.schedules.TrainState`) → factor on the learning rate.
        learning_rate: Base learning rate of all four, scaled by ``schedule``.
        epochs: This many; the last one's weights are kept.
        batch_size: Images of each domain per step.
        identity: Weight of the identity loss; the adversarial loss has 1.
        cycle: Weight of the cycle-consistency loss, for each direction.
        pool: This many generated images are kept to be shown to a discriminator again; 0: none.
        keep_every: Keep the generators of every n-th epoch too; 0: of none.
        seed: Of weights, order and pool.
    """

    optimiser: OptimiserOf
    schedule: Schedule
    learning_rate: Positive = 2e-4
    epochs: Count = 200
    batch_size: Count = 1
    identity: NonNegative = 5.0
    cycle: NonNegative = 10.0
    pool: Annotated[int, Range(0, 10_000)] = 50
    keep_every: Whole = 5
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "training")


@dataclass(frozen=True)
class TranslationRecipe:
    """How to translate images of one domain, the source, into another, the target, and back, from unpaired images.

    Attributes:
        name: What ``bioseg train`` is told.
        task: What is translated into what.
        purpose: One line: for whom, or what it reproduces.
        layout: Default of the run: (folder) → cases sorted by id, with masks or without; used on both folders.
        split_source: (cases) → :class:`bioseg.datasets.splits.Split`; what is not for training is only monitored.
        split_target: The same for the target's.
        preparation: From the file's pixels to [0, 1]; one channel.
        generator: () → module, [N, 1, rows, cols] in [−1, 1] → the same.
        discriminator: () → module, [N, 1, rows, cols] in [−1, 1] → scores of any shape, 1 for real and 0 for generated.
        training: How they are fitted.
    """

    name: str
    task: str
    purpose: str
    layout: Layout
    split_source: SplitBy
    split_target: SplitBy
    preparation: Preparation
    generator: Network
    discriminator: Network
    training: AdversarialTraining

    def __post_init__(self) -> None:
        """Refuse invalid values, and what the networks cannot take."""
        check(self, "")
        if self.preparation.channels != 1:
            raise BiosegError(
                f"preparation.channels: {self.preparation.channels}; translation is for grey images only: 1"
            )


Recipe = SegmentationRecipe | TranslationRecipe
R = TypeVar("R")


def not_in_a_model_file(*values: Any, **names: Any) -> Any:
    """In the place of the network and the training of a recipe from a model file, which holds neither.

    Raises:
        BiosegError: Always.
    """
    raise BiosegError(
        "a model file holds no PyTorch network and cannot be trained; use the run folder it was exported from"
    )
