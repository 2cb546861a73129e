"""DICOM's JPEG of 12 bits (extended, process 4), which GDCM decodes and pydicom's way to GDCM refuses."""

from importlib.util import find_spec

import numpy as np
from pydicom import Dataset
from pydicom.encaps import get_frame

from bioseg.images.raw_image import UnreadableImage
from bioseg.types import Array

AVAILABLE = find_spec("gdcm") is not None


def decode(dataset: Dataset, frame: int) -> Array:
    """One frame [rows, cols], grey.

    Raises:
        UnreadableImage: It is in colour.
        ValueError: It is damaged.
    """
    import gdcm

    if dataset.SamplesPerPixel != 1:
        raise UnreadableImage("12-bit JPEG in colour is not supported; convert it with 'gdcmconv --raw'")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(get_frame(dataset.PixelData, frame, number_of_frames=_count(dataset)))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((dataset.Columns, dataset.Rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    bits = dataset.BitsStored
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, dataset.PixelRepresentation))
    unpacked = image.GetBuffer()  # bytes, which SWIG gives as text
    if unpacked is None:
        raise ValueError("the JPEG in it cannot be unpacked")
    values = np.frombuffer(unpacked.encode("utf-8", "surrogateescape"), "<i2" if dataset.PixelRepresentation else "<u2")
    return values.reshape(dataset.Rows, dataset.Columns)


def _count(dataset: Dataset) -> int:
    return max(1, int(dataset.get("NumberOfFrames") or 1))
