"""A recipe says how to prepare, train and judge. It is a frozen value that can be written as JSON and read back."""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bioseg.data.augment import Augmentation
from bioseg.data.prepare import Preparation
from bioseg.inference.postprocess import Postprocess
from bioseg.types import BiosegError, Call, Case, Mask, Probability

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from bioseg.data.splits import Split
    from bioseg.inference.quality import Quality


@dataclass(frozen=True)
class Training:
    """How a network is fitted.

    Attributes:
        loss: (logits [N, 1, rows, cols], truth of the same shape, 0 or 1) → scalar tensor.
        optimiser: (parameter groups) → optimiser.
        rate: Learning rate that ``schedule`` scales.
        encoder_rate: Learning rate of ``network.encoder`` where that was trained before; None: ``rate`` for all.
        schedule: (:class:`bioseg.training.schedules.Moment`) → factor on the rate.
        epochs: At most this many.
        batch: Pictures a step.
        validation_batch: Pictures a validation step; matters where a loss spans the batch.
        patience: Stop after so many epochs without a lower validation loss; None: never.
        min_delta: What counts as lower.
        seed: Of weights, order, augmentation and dropout.
        bfloat16: Learn in bfloat16 on a CPU too, where it computes that; a GPU always does, prediction on a CPU never.
    """

    loss: "Call[Tensor]"
    optimiser: Call[Any]
    schedule: Call[float]
    rate: float = 1e-3
    encoder_rate: float | None = None
    epochs: int = 40
    batch: int = 16
    validation_batch: int = 16
    patience: int | None = None
    min_delta: float = 0.0
    seed: int = 0
    bfloat16: bool = False


@dataclass(frozen=True)
class SegmentationRecipe:
    """How to make and judge one segmenter.

    Attributes:
        name: What ``bioseg train`` is told.
        task: What is outlined in what.
        purpose: One line: for whom, or what it reproduces.
        list_cases: (folder) → cases sorted by id.
        split: (cases) → :class:`bioseg.data.splits.Split`.
        fold: (cases, folds=n) → one split a fold; used with ``--folds``.
        preparation: From the file's pixels to the network's input.
        network: () → module whose output is logits [N, 1, rows, cols].
        training: How it is fitted.
        augmentation: Of training batches.
        postprocess: From probability to mask.
        flips: Predict the mirrored pictures too and average.
        turns: Predict them turned by 90, 180 and 270° too.
        judged_on: Grid of the scores: the picture's own, or the prepared one as the reference systems do.
        reference_scores: (probability, mask, truth) → scores under the names a specification page uses; None: none.
        choose: (examples, postprocess) → postprocess, chosen on held out cases after training
            (:mod:`bioseg.training.choose`).
        quality: (predictor, training samples, validation samples) → what tells how far to trust a prediction, learned
            after training (:mod:`bioseg.training.fit_quality`).
        adapt: (recipe, cases) → (recipe, reasons), for a recipe that looks at the data first.
    """

    name: str
    task: str
    purpose: str
    list_cases: "Call[list[Case]]"
    split: "Call[Split]"
    fold: "Call[list[Split]]"
    preparation: Preparation
    network: "Call[nn.Module]"
    training: Training
    augmentation: Augmentation = Augmentation()
    postprocess: Postprocess = Postprocess()
    flips: bool = False
    turns: bool = False
    judged_on: Literal["picture", "prepared"] = "picture"
    reference_scores: Callable[[Probability, Mask, Mask], dict[str, float]] | None = None
    choose: "Call[Postprocess] | None" = None
    quality: "Call[Quality] | None" = None
    adapt: "Callable[[SegmentationRecipe, list[Case]], tuple[SegmentationRecipe, list[str]]] | None" = None

    def __post_init__(self) -> None:
        """Refuse what cannot be learned."""
        if self.quality and self.preparation.fit == "windows":
            raise BiosegError(
                "quality: compares whole pictures of one size, but preparation.fit is windows; leave it out"
            )


@dataclass(frozen=True)
class AdversarialTraining:
    """How two generators and two discriminators are fitted against each other (Zhu et al. 2017).

    Attributes:
        optimiser: (parameter groups) → optimiser.
        schedule: (:class:`bioseg.training.schedules.Moment`) → factor on the rate.
        rate: Learning rate of all four that ``schedule`` scales.
        epochs: So many; the last one's weights are kept.
        batch: Pictures of each side a step.
        identity: Weight of leaving alone what looks right already; the adversarial loss has 1.
        cycle: Weight of coming back to the picture, for each direction.
        pool: So many generated pictures are kept to be shown to a discriminator again; 0: none.
        keep_every: Keep the generators of every n-th epoch too; 0: of none.
        seed: Of weights, order and pool.
    """

    optimiser: Call[Any]
    schedule: Call[float]
    rate: float = 2e-4
    epochs: int = 200
    batch: int = 1
    identity: float = 5.0
    cycle: float = 10.0
    pool: int = 50
    keep_every: int = 5
    seed: int = 0


@dataclass(frozen=True)
class TranslationRecipe:
    """How to make pictures of one source look like those of another, the target, and back, from unpaired pictures.

    Attributes:
        name: What ``bioseg train`` is told.
        task: What is turned into what.
        purpose: One line: for whom, or what it reproduces.
        list_cases: (folder) → cases sorted by id, with masks or without; used on both folders.
        split_source: (cases) → :class:`bioseg.data.splits.Split`; what is not for training is only looked at.
        split_target: The same for the target's.
        preparation: From the file's pixels to [0, 1]; one channel.
        generator: () → module, [N, 1, rows, cols] in [−1, 1] → the same.
        discriminator: () → module, [N, 1, rows, cols] in [−1, 1] → scores of any shape, 1 for real and 0 for made.
        training: How they are fitted.
    """

    name: str
    task: str
    purpose: str
    list_cases: "Call[list[Case]]"
    split_source: "Call[Split]"
    split_target: "Call[Split]"
    preparation: Preparation
    generator: "Call[nn.Module]"
    discriminator: "Call[nn.Module]"
    training: AdversarialTraining

    def __post_init__(self) -> None:
        """Refuse what the networks cannot take."""
        if self.preparation.channels != 1:
            raise BiosegError(
                f"preparation.channels: {self.preparation.channels}; translation knows grey pictures only: 1"
            )


Recipe = SegmentationRecipe | TranslationRecipe
R = TypeVar("R")


def encode(value: Any, *, sparse: bool = False) -> Any:
    """A recipe, or a part of one, as JSON values: functions become ``module:name``, arguments are spelled out.

    Args:
        value: What to encode.
        sparse: Leave out what has its default.
    """
    if isinstance(value, Call):
        arguments = {key: encode(argument, sparse=sparse) for key, argument in value.arguments}
        return {"$call": _name(value.function), **arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: encode(getattr(value, field.name), sparse=sparse)
            for field in dataclasses.fields(value)
            if not sparse or getattr(value, field.name) != field.default
        }
        return {"$type": _name(type(value)), **fields}
    if isinstance(value, tuple | list):
        return [encode(item, sparse=sparse) for item in value]
    if callable(value):
        return {"$function": _name(value)}
    return value


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`; lists become tuples.

    Raises:
        BiosegError: A name lies outside ``bioseg`` or does not exist in this version.
    """
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    rest = {key: decode(item) for key, item in value.items() if not key.startswith("$")}
    if "$call" in value:
        return Call(_resolve(value["$call"]), tuple(rest.items()))
    if "$type" in value:
        try:
            return _resolve(value["$type"])(**rest)
        except TypeError as fault:  # a field this version does not know
            raise BiosegError(f"record: {fault}; install the version that wrote it") from None
    if "$function" in value:
        return _resolve(value["$function"])
    return rest


def fingerprint(recipe: Recipe) -> str:
    """Twelve hexadecimal digits that change whenever anything in the recipe does.

    A setting that a later version adds changes them only where it is used.
    """
    text = json.dumps(encode(recipe, sparse=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def override(recipe: R, setting: str) -> R:
    """A new recipe with one value replaced.

    Args:
        recipe: A frozen dataclass.
        setting: ``path=value``, the path's parts joined by dots, the value as JSON or plain text:
            ``training.batch=8``, ``preparation.size_px=[256,256]``, ``network.in_channels=3``. A function is replaced by
            another of its module, ``training.loss=soft_dice``; a part by its default, ``augmentation=null``.

    Raises:
        BiosegError: There is no such value, or it is of another kind.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise BiosegError(f"--set {setting}: no '='; write it as path=value, for example training.batch=8")
    try:
        value = decode(json.loads(text))
    except json.JSONDecodeError:
        value = text
    changed: R = _replace(recipe, path.strip().split("."), value, setting)
    return changed


def _replace(whole: Any, path: list[str], value: Any, setting: str) -> Any:
    name, deeper = path[0], path[1:]
    if isinstance(whole, Call):
        parts = dict(whole.arguments)
        if not deeper:
            return Call(whole.function, tuple({**parts, name: value}.items()))
    else:
        parts = {field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)}
        if value is None and not deeper and name in (f.name for f in dataclasses.fields(whole) if f.default is None):
            return dataclasses.replace(whole, **{name: None})
    if name not in parts:
        raise BiosegError(f"--set {setting}: there is no '{name}' here; there are: {', '.join(sorted(parts))}")
    old = parts[name]
    if deeper:
        if not isinstance(old, Call) and not dataclasses.is_dataclass(old):
            raise BiosegError(f"--set {setting}: '{name}' is {old!r} and has no parts; leave out '.{'.'.join(deeper)}'")
        new = _replace(old, deeper, value, setting)
    else:
        new = _checked(old, value, setting)
    if isinstance(whole, Call):
        return Call(whole.function, tuple({**parts, name: new}.items()))
    return dataclasses.replace(whole, **{name: new})


def _checked(old: Any, value: Any, setting: str) -> Any:
    """``value`` in the kind of ``old``, or a refusal."""
    if old is None:
        return value
    if isinstance(old, Call) and isinstance(value, str):
        module = old.function.__module__
        names = [name for name, thing in vars(importlib.import_module(module)).items() if _belongs(thing, module)]
        if value not in names:
            raise BiosegError(f"--set {setting}: there is no such function; there are: {', '.join(sorted(names))}")
        return Call(_resolve(f"{module}:{value}"))
    if value is None and dataclasses.is_dataclass(old) and not isinstance(old, type):
        return type(old)()
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(old, int | float | str | tuple) and (type(value) is type(old) or value is None):
        return value
    raise BiosegError(f"--set {setting}: the value now is {old!r}; give another of that kind")


def _belongs(thing: Any, module: str) -> bool:
    return callable(thing) and getattr(thing, "__module__", "") == module and not thing.__name__.startswith("_")


def _name(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def _resolve(name: str) -> Any:
    module, _, attribute = name.partition(":")
    if module.split(".")[0] != "bioseg":
        raise BiosegError(f"record names {name!r}, which is not part of bioseg; the file is foreign or was changed")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise BiosegError(
            f"record names {name!r}, which this version does not have; install the one that wrote it"
        ) from None


def read_cases(recipe: Recipe, folder: "Path") -> list[Case]:
    """The recipe's cases in ``folder``.

    Raises:
        BiosegError: The folder is missing or holds none.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder; give the folder that holds the data with --data")
    cases = recipe.list_cases(folder)
    if not cases:
        raise BiosegError(f"{folder}: no case found; `bioseg data check {folder}` says what lies there")
    return cases
