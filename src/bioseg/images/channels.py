"""Which channels of an image are used: by number, from 1, or by the name that the file gives them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bioseg.images.raw_image import RawImage
from bioseg.types import BiosegError, ImageArray

RGB = ("red", "green", "blue", "alpha")


def count(raw_image: RawImage) -> int:
    """How many there are; alpha is one of them."""
    return 1 if raw_image.pixels.ndim == 2 else int(raw_image.pixels.shape[-1])


def names(raw_image: RawImage) -> tuple[str, ...]:
    """One per channel: the file's own, the colours of RGB, or numbers."""
    return raw_image.channels or (RGB[: count(raw_image)] if raw_image.colour else ("1",))


def select(raw_image: RawImage, wanted: Sequence[str | int]) -> RawImage:
    """The image with these channels alone, in this order.

    Args:
        raw_image: Of any number of channels.
        wanted: A name, in upper or lower case, or a number from 1; text that is no name may be a number.

    Returns:
        [rows, cols], or several measured channels.

    Raises:
        BiosegError: It has no such channel.
    """
    there = names(raw_image)
    places = [_place(one, there) for one in wanted]
    if missing := [one for one, place in zip(wanted, places, strict=True) if place is None]:
        raise BiosegError(f"no channel {missing[0]!r}; choose of {listed(there)} with --channel")
    return _replaced(raw_image, [place for place in places if place is not None], there)


def fit(raw_image: RawImage, wanted: Sequence[str | int], number: int) -> RawImage:
    """The image as a network of so many channels takes it.

    Args:
        raw_image: Of any number of channels.
        wanted: See :func:`select`; empty: all there are.
        number: Channels of the network.

    Returns:
        Grey [rows, cols] where ``number`` is 1 or 3, RGB where it is 1 or 3, or ``number`` measured channels. Where 4 are
        wanted RGBA counts as these.

    Raises:
        BiosegError: It has another number of channels, or not those that are wanted.
    """
    if wanted:
        raw_image = select(raw_image, wanted)
    found = count(raw_image)
    if raw_image.colour and number in (1, 3):
        return replace(raw_image, pixels=raw_image.pixels[..., :3])
    if found == number and raw_image.pixels.ndim == 3:
        return replace(raw_image, channels=names(raw_image))
    if found == 1 and number in (1, 3):
        return raw_image
    own = f"{found} channel{'s' if found > 1 else ''} ({listed(names(raw_image))})"
    if found < number:
        raise BiosegError(f"{own}, {number} are wanted; give images that have them")
    some = ",".join(map(str, range(1, number + 1)))
    verb = "is" if number == 1 else "are"
    raise BiosegError(
        f"{own}, {number} {verb} wanted; choose with --channel {some} or, in Python, with_channels({some})"
    )


def to_show(unit: ImageArray) -> ImageArray:
    """An image in [0, 1] as grey or RGB to look at: of 2, 4 or more channels the brightest at each pixel."""
    return unit if unit.ndim == 2 or unit.shape[-1] == 3 else np.asarray(unit.max(axis=-1))


def listed(there: Sequence[str]) -> str:
    """``1 DAPI, 2 FITC``; mere numbers as ``1, 2``."""
    return ", ".join(name if name == str(place) else f"{place} {name}" for place, name in enumerate(there, 1))


def kind(raw_image: RawImage) -> str:
    """``grey``, ``colour``, or how many measured channels and which."""
    if raw_image.pixels.ndim == 2:
        return "grey"
    return "colour" if raw_image.colour else f"{count(raw_image)} channels ({listed(names(raw_image))})"


def _place(wanted: str | int, there: Sequence[str]) -> int | None:
    """From 0."""
    if isinstance(wanted, str):
        lower = [name.lower() for name in there]
        if wanted.strip().lower() in lower:
            return lower.index(wanted.strip().lower())
    number = int(wanted) if isinstance(wanted, int) or wanted.strip().isdecimal() else 0
    return number - 1 if 1 <= number <= len(there) else None


def _replaced(raw_image: RawImage, places: list[int], there: Sequence[str]) -> RawImage:
    pixels = raw_image.pixels if raw_image.pixels.ndim == 3 else raw_image.pixels[..., None]
    pixels = pixels[..., places[0]] if len(places) == 1 else pixels[..., places]
    return replace(raw_image, pixels=pixels, channels=tuple(there[place] for place in places))
