"""PNG, JPEG, GIF and BMP, read with Pillow."""

import numpy as np
from PIL import Image, ImageFile, ImageOps

from bioseg.images.raw_image import Header, RawImage, from_pixels

_ORIENTATION = 0x0112


def open_header(image: ImageFile.ImageFile) -> Header:
    """The header of a file that a Pillow plugin has opened.

    A JPEG's EXIF orientation is applied, since every viewer does and the masks drawn on it are upright.
    """
    turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5
    shape = (image.width, image.height) if turned else (image.height, image.width)
    return Header(shape, lambda plane: decode(image))


def decode(opened: ImageFile.ImageFile) -> RawImage:
    """Its pixels; palettes looked up, other colour models than RGB converted."""
    opened.load()
    image: Image.Image = opened
    if opened.format == "JPEG":
        image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("LA", "La", "PA"):
        image = image.convert("RGBA")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if image.mode == "I" and opened.format == "PNG":  # 16-bit grey in Pillow before 11
        pixels = pixels.astype(np.uint16)
    return from_pixels(pixels)
