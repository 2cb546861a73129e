"""Any folder of images and masks: inspects the training data, chooses size, window, batch size and epochs, and says why."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from skimage.measure import label

from bioseg.classes import Classes
from bioseg.datasets import cases as reading
from bioseg.datasets import class_names, folders, kinds, splits
from bioseg.datasets.augment import Augmentation, strong_intensity
from bioseg.datasets.kinds import Kind
from bioseg.images import prepare
from bioseg.images.channels import listed
from bioseg.images.prepare import Preparation
from bioseg.models.pretrained_unet import pretrained_unet
from bioseg.postprocess.masks import ClassPostprocess, Postprocess
from bioseg.recipe import Network, SegmentationRecipe, Training
from bioseg.specs import Call, call
from bioseg.training import losses, optimisers, schedules
from bioseg.types import BiosegError, Case, Mask

SAMPLE = 48
"""At most this many cases, evenly spread, are opened."""

SIDE = re.compile(r"\b(left|right)\b", re.I)

FEW = 2
"""Where no mask has more objects than this, no prediction keeps more."""


@dataclass(frozen=True)
class Facts:
    """Statistics of the sampled cases.

    Attributes:
        shape: Median (rows, cols), px.
        aspects: Smallest and largest cols / rows.
        colour: Whether the colour channels of any image differ.
        channels: Names of the measured channels that most images have; empty where most are grey or RGB.
        lowest: Smallest value of any image.
        objects: Median number of 8-connected objects in a mask.
        most_objects: Largest number of objects in a mask, without specks of less than 1 % of its area.
        object_share: Median share of the image that one object covers.
        foreground: Median share of the image that the mask covers.
        kind: What the masks show.
        most_of_class: Largest number of objects of each class in an image, without specks.
    """

    shape: tuple[int, int]
    aspects: tuple[float, float]
    colour: bool
    channels: tuple[str, ...]
    lowest: float
    objects: float
    most_objects: int
    object_share: float
    foreground: float
    kind: Kind
    most_of_class: tuple[int, ...]


def look_at(cases: Sequence[Case]) -> Facts:
    """Read a sample of the cases.

    Raises:
        BiosegError: None of them can be used.
    """
    shapes, lows, counts, large, shares, foreground, colour = [], [], [], [], [], [], False
    shown, used, reason, stored = [], [], "", Counter[tuple[str, ...]]()
    for index in sorted(set(np.linspace(0, len(cases) - 1, min(SAMPLE, len(cases))).astype(int))):
        try:
            raw_image = reading.read_image(cases[index])
            mask = reading.read_mask(cases[index], raw_image.pixels.shape[:2])
            shown.append(kinds.look(cases[index], raw_image.pixels.shape[:2]))
        except BiosegError as fault:
            reason = str(fault)
            continue
        pixels = raw_image.pixels
        used.append(cases[index])
        shapes.append(pixels.shape[:2])
        lows.append(float(pixels.min()) * raw_image.slope + raw_image.intercept)
        stored[raw_image.channels if pixels.ndim == 3 else ()] += 1
        colour |= raw_image.colour and bool((pixels[..., 0] != pixels[..., 1]).any())
        areas = np.bincount(label(mask).ravel())[1:]
        counts.append(len(areas))
        large.append(_large(mask))
        shares += (areas / mask.size).tolist()
        foreground.append(float(mask.mean()))
    if not shapes:
        raise BiosegError(f"none of {len(cases)} cases can be used; the first: {reason}")
    aspects = [cols / rows for rows, cols in shapes]
    kind = kinds.conclude(shown, class_names.names_of([one for case in used[:1] for one in case.label_values]))
    return Facts(
        shape=(int(np.median([rows for rows, _ in shapes])), int(np.median([cols for _, cols in shapes]))),
        aspects=(min(aspects), max(aspects)),
        colour=colour,
        channels=stored.most_common(1)[0][0],
        lowest=min(lows),
        objects=float(np.median(counts)),
        most_objects=max(large),
        object_share=float(np.median(shares)) if shares else 0.0,
        foreground=float(np.median(foreground)),
        kind=kind,
        most_of_class=_most_of_each(used, shapes, kind.classes) if kind.classes.several else (),
    )


def _large(mask: Mask) -> int:
    """8-connected objects of more than 1 % of the mask's area."""
    areas = np.bincount(label(mask).ravel())[1:]
    return int((areas > areas.sum() / 100).sum())


def _most_of_each(cases: Sequence[Case], shapes: Sequence[tuple[int, int]], classes: Classes) -> tuple[int, ...]:
    each = [
        [_large(mask) for mask in reading.read_classes(case, shape, classes)]
        for case, shape in zip(cases, shapes, strict=True)
    ]
    return tuple(max(counts) for counts in zip(*each, strict=True))


def configure(recipe: SegmentationRecipe, cases: list[Case]) -> tuple[SegmentationRecipe, list[str]]:
    """Fit the recipe to training cases.

    Args:
        recipe: Its preparation, augmentation, postprocessing and parts of its training are replaced.
        cases: Training cases only: what is chosen from masks must not know those that validate.

    Returns:
        The recipe, and what was chosen and why, a line each.

    Raises:
        BiosegError: None of the cases can be used.
    """
    facts = look_at(cases)
    strong = torch.cuda.is_available()
    preparation, reasons = _preparation(facts, largest=512 if strong else 256)
    count = len(cases)
    batch_size = max(1, min(16 if strong else 8, count // 4))
    pixels = preparation.size_px[0] * preparation.size_px[1]
    visits = (20_000 if strong else 4_000) * 256**2 / pixels
    epochs = int(np.clip(visits / count, 10, 100))
    classes = facts.kind.classes
    sided = any(SIDE.search(name) for name in classes.names)
    free = (bool(facts.colour or facts.channels) or facts.objects > 4) and not sided
    augmentation = strong_intensity(
        Augmentation(
            rotation_deg=15.0, shift=0.1, shear_deg=5.0, zoom=(0.8, 1.25),
            flip_rows=0.5 * free, flip_cols=0.5 * free, quarter_turns=free,
        )
    )  # fmt: skip
    postprocess = replace(recipe.postprocess, keep_largest=facts.most_objects if facts.most_objects <= FEW else 0)
    training = replace(recipe.training, batch_size=batch_size, validation_batch_size=batch_size, epochs=epochs)
    network = recipe.network
    if classes.several:
        postprocess = replace(recipe.postprocess, per_class=_kept_of_each(classes, facts.most_of_class))
        network = call(pretrained_unet, **{**dict(network.arguments), "outputs": len(classes.names)})
        if classes.exclusive:
            loss = call(losses.exclusive_cross_entropy_and_dice, classes=len(classes.names))
            training = replace(training, loss=loss)
    reasons += [
        facts.kind.reason
        + (
            "; objects that touch become one here, `bioseg train nuclei` separates them"
            if facts.kind.what == "instances"
            else ""
        ),
        f"{epochs} epochs in batches of {batch_size}: about {visits:,.0f} image visits suit {count} images "
        f"{'on a GPU' if strong else 'without a GPU'}",
        _orientation(facts, free=free, sided=sided),
        *(_kept_lines(postprocess.per_class) if classes.several else [_kept(facts.most_objects)]),
    ]
    fitted = replace(
        recipe,
        preparation=replace(preparation, classes=classes),
        network=_network(network, preparation.channels),
        augmentation=augmentation,
        postprocess=postprocess,
        tta="flip" if free else "none",
        training=training,
        configure=None,
    )
    return fitted, reasons


def _orientation(facts: Facts, *, free: bool, sided: bool) -> str:
    count = f" ({facts.objects:.0f} in the median image)"
    if sided:
        return "upright orientation, never mirrored: a class is named by its side"
    if free:
        return f"any orientation: colour or many objects an image, as under a microscope{count}"
    return f"upright orientation: grey images with few objects{count}"


def _kept_of_each(classes: Classes, most: Sequence[int]) -> tuple[ClassPostprocess, ...]:
    return tuple(
        ClassPostprocess(name, keep_largest=count)
        for name, count in zip(classes.names, most, strict=True)
        if 0 < count <= FEW
    )


def _kept_lines(each: Sequence[ClassPostprocess]) -> list[str]:
    return [f"{one.name}: {_kept(one.keep_largest or 0)}" for one in each]


def _network(network: Network, channels: int) -> Network:
    """Told the number of channels where it has to know."""
    if channels in (1, 3):
        return network
    return Call(network.function, (*network.arguments, ("in_channels", channels)))


def _kept(most_objects: int) -> str:
    if not 0 < most_objects <= FEW:
        return f"all objects are kept: masks have up to {most_objects} of some size"
    return f"the largest {'object is' if most_objects == 1 else f'{most_objects} objects are'} kept: no mask has more"


def _preparation(facts: Facts, *, largest: int) -> tuple[Preparation, list[str]]:
    """Grid and window, and the reasons."""
    rows, cols = facts.shape
    side = max(rows, cols)
    area_px = facts.object_share * rows * cols * min(1.0, largest / side) ** 2
    tiny = 0 < area_px < 60
    limit = largest * 3 // 2 if tiny else largest
    scale = min(1.0, limit / side)
    varied = facts.aspects[1] / facts.aspects[0] > 1.1
    size = (_multiple(side * scale),) * 2 if varied else (_multiple(rows * scale), _multiple(cols * scale))
    hounsfield = facts.lowest <= -500
    window = (
        call(prepare.fixed_window, low=-1000.0, high=400.0)
        if hounsfield
        else call(prepare.percentile_window, low=1.0, high=99.0)
    )
    reasons = [
        f"size {size[0]}×{size[1]}: the median image is {rows}×{cols}, the largest side may be {limit}"
        + (f" because objects are small ({area_px:.0f} px at {largest})" if tiny else ""),
        f"{'letterboxed' if varied else 'stretched'}: width / height runs from {facts.aspects[0]:.2f} to {facts.aspects[1]:.2f}",
        f"window −1000 … 400: values go down to {facts.lowest:.0f}, as Hounsfield units do"
        if hounsfield
        else "window: 1st to 99th percentile of each image, whatever its scale",
        f"{len(facts.channels)} channels, each with a window of its own: {listed(facts.channels)}"
        if facts.channels
        else "colour: the channels differ"
        if facts.colour
        else "grey",
    ]
    fit: Literal["letterbox", "stretch"] = "letterbox" if varied else "stretch"
    channels = len(facts.channels) or (3 if facts.colour else 1)
    return Preparation(size_px=size, channels=channels, intensity=(window,), fit=fit), reasons


def _multiple(side: float) -> int:
    """The nearest multiple of 32 px, the stride of the network's deepest feature map; at least one."""
    return max(32, round(side / 32) * 32)


RECIPE = SegmentationRecipe(
    name="auto",
    task="whatever the masks show",
    purpose="any folder, no options: chooses size, window, batch size and epochs from the data",
    layout=call(folders.list_cases),
    split=call(splits.by_patient, validation=0.2, seed=0),
    fold=call(splits.grouped_k_fold, seed=0),
    preparation=Preparation(size_px=(256, 256)),
    network=call(pretrained_unet, encoder="lite0", imagenet=True),
    training=Training(
        loss=call(losses.cross_entropy_and_dice),
        optimiser=call(optimisers.adamw, weight_decay=1e-4),
        schedule=call(schedules.one_cycle),
        learning_rate=3e-3,
        encoder_learning_rate=3e-4,
    ),
    postprocess=Postprocess(),
    configure=configure,
)
