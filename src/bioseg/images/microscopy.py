"""Microscopes' own formats (CZI, ND2, LIF, OIB …), read with bioio and the readers that are installed for it."""

import os
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from bioseg.images.raw_image import Header, RawImage, UnreadableImage, from_pixels

_MM_PER_UM = 0.001


def open_header(file: BinaryIO) -> Header:
    """The header of a micrograph: a plane for every scene, time and focal plane, in this order; channels stay together.

    Args:
        file: With a name.

    Raises:
        UnreadableImage: It has no name, no reader is installed for it, or its scenes are of several sizes.
        Exception: It is damaged.
    """
    name = getattr(file, "name", None)
    if not isinstance(name, str | bytes):
        raise UnreadableImage("a microscope's own format is read from a file; give its path, not its content")
    image = _opened(os.fsdecode(name))
    places: list[tuple[int, int, int]] = []
    shapes = set()
    for scene in range(len(image.scenes)):
        image.set_scene(scene)
        dims = image.dims
        shapes.add((int(dims.Y), int(dims.X)))
        places += [(scene, time, focus) for time in range(dims.T) for focus in range(dims.Z)]
    if len(shapes) != 1:
        sizes = ", ".join(f"{rows}×{cols}" for rows, cols in sorted(shapes)[:3])
        raise UnreadableImage(f"scenes of several sizes ({sizes}); save each as a file of its own")
    return Header(shapes.pop(), lambda plane: _decode(image, *places[plane]), len(places))


def _opened(path: str) -> Any:
    import bioio

    try:
        return bioio.BioImage(path)
    except Exception as fault:
        if "Unsupported" in type(fault).__name__:
            raise UnreadableImage(
                "no reader of bioio for it is installed; pip install 'bioseg[microscopy]' (LIF, ND2), bioio-czi (CZI) or "
                "bioio-bioformats (all others)"
            ) from None
        raise


def _decode(image: Any, scene: int, time: int, focus: int) -> RawImage:
    image.set_scene(scene)
    colours = "S" in image.dims.order
    pixels = np.asarray(image.get_image_data("YXS" if colours else "YXC", T=time, Z=focus))
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    colours = colours or pixels.ndim == 2
    sizes = image.physical_pixel_sizes  # µm
    known = bool(sizes.Y and sizes.X and sizes.Y > 0 and sizes.X > 0)
    return replace(
        from_pixels(pixels, channels=() if colours else _channels(image, pixels.shape[-1])),
        spacing_mm=(float(sizes.Y) * _MM_PER_UM, float(sizes.X) * _MM_PER_UM) if known else None,
        spacing_from="microscope" if known else "",
        slice_spacing_mm=float(sizes.Z) * _MM_PER_UM if sizes.Z and image.dims.Z > 1 else None,
    )


def _channels(image: Any, count: int) -> tuple[str, ...]:
    names = tuple(map(str, image.channel_names or ()))
    return names if len(names) == count else tuple(map(str, range(1, count + 1)))
