"""Files that hold several images: NIfTI, MetaImage, NRRD and multi-frame DICOM. Plane 2 of 4 is the one that is looked at."""

import gzip
import io
import struct
import zlib
from typing import Any

import nibabel
import nrrd
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import RLELossless

from bioseg.types import Array
from tests.contracts.image_files import FLOAT, SIGNED, TWELVE, WORDS, Kind, dicom

PLANE, COUNT = 2, 4
LPS = np.diag([-0.5, -0.75, 3.0, 1.0])  # as slices of a CT lie: columns to the left, rows to the back


def volume(image: Array) -> Array:
    """[columns, rows, slices]; the slices are the image, each with other values."""
    return np.stack([np.roll(image, step, axis=0).T for step in (1, 2, 0, 3)], axis=-1)


def nifti(
    voxels: Array, affine: Array = LPS, *, packed: bool = True, scale: tuple[float, float] | None = None, unit: str = "mm",
    version: int = 1,
) -> bytes:  # fmt: skip
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(voxels, affine)
    image.header.set_xyzt_units(unit)
    data = bytearray(image.to_bytes())
    if scale:
        data[112:120] = struct.pack("<ff", *scale)
    return gzip.compress(bytes(data), mtime=0) if packed else bytes(data)


def metaimage(voxels: Array, *, packed: bool = False, **fields: str) -> bytes:
    kind = {"uint16": "MET_USHORT", "int16": "MET_SHORT", "float32": "MET_FLOAT", "uint8": "MET_UCHAR"}[
        voxels.dtype.name
    ]
    data = voxels.tobytes(order="F")
    data = zlib.compress(data) if packed else data
    lines = {
        "ObjectType": "Image", "NDims": str(voxels.ndim), "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": str(packed), **({"CompressedDataSize": str(len(data))} if packed else {}),
        "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "10 20 30", "ElementSpacing": "0.5 0.75 3",
        "DimSize": " ".join(map(str, voxels.shape)), "ElementType": kind, **fields, "ElementDataFile": "LOCAL",
    }  # fmt: skip
    return "".join(f"{name} = {value}\n" for name, value in lines.items()).encode() + data


def nrrd_file(voxels: Array, encoding: str, **header: Any) -> bytes:
    known: dict[str, Any] = {
        "space": "left-posterior-superior", "space directions": np.diag([0.5, 0.75, 3.0]), "space origin": np.zeros(3),
    }  # fmt: skip
    file = io.BytesIO()
    nrrd.write(file, voxels, {**known, **header, "encoding": encoding}, index_order="F")
    return file.getvalue()


def frames(voxels: Array, *, packed: bool = False, **tags: Any) -> bytes:
    """A DICOM file with a frame per slice: spacing for all, a rescale of its own for each."""
    groups = []
    for index in range(voxels.shape[2]):
        values, group = Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = index + 1, -10 * index, "HU"
        group.PixelValueTransformationSequence = [values]
        groups.append(group)
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SpacingBetweenSlices, measures.SliceThickness = [0.75, 0.5], 3, 4
    shared.PixelMeasuresSequence = [measures]
    stack = np.ascontiguousarray(voxels.T)
    file = pydicom.dcmread(io.BytesIO(dicom(stack[0])))
    file.NumberOfFrames, file.PixelData = len(stack), stack.tobytes()
    file.SharedFunctionalGroupsSequence, file.PerFrameFunctionalGroupsSequence = [shared], groups
    for name, value in tags.items():
        setattr(file, name, value)
    if packed:
        file.compress(RLELossless, encoding_plugin="pydicom")
    data = io.BytesIO()
    file.save_as(data)
    return data.getvalue()


KNOWN: dict[str, Any] = {"plane": PLANE, "spacing_mm": (0.75, 0.5), "slice_spacing_mm": 3.0}
SAGITTAL = np.array(
    [[0, 0, 3, 0], [0.5, 0, 0, 0], [0, 0.75, 0, 0], [0, 0, 0, 1.0]]
)  # columns to the front, rows to the top
KINDS = {
    "NIfTI": Kind(".nii", nifti(volume(WORDS), packed=False), WORDS, white=65535, **KNOWN),
    "NIfTI packed": Kind(".nii.gz", nifti(volume(SIGNED)), SIGNED, white=32767, **KNOWN),
    "NIfTI scaled": Kind(
        ".nii.gz", nifti(volume(TWELVE), scale=(0.5, -1024)), TWELVE, white=65535, rescale=(0.5, -1024.0), **KNOWN
    ),
    "NIfTI-2 float": Kind(".nii", nifti(volume(FLOAT), packed=False, version=2), FLOAT, white=None, **KNOWN),
    "NIfTI in µm": Kind(
        ".nii", nifti(volume(WORDS), packed=False, unit="micron"), WORDS, white=65535, plane=PLANE,
        spacing_mm=(0.00075, 0.0005), slice_spacing_mm=0.003,
    ),
    "NIfTI sagittal": Kind(
        ".nii.gz", nifti(volume(WORDS), SAGITTAL), WORDS[::-1, ::-1], white=65535, **KNOWN,
    ),
    "NIfTI, slices along the first axis": Kind(
        ".nii.gz", nifti(np.moveaxis(volume(WORDS), 2, 0), np.diag([3, -0.5, -0.75, 1.0])), WORDS, white=65535, **KNOWN,
    ),
    "MetaImage": Kind(".mha", metaimage(volume(WORDS)), WORDS, white=65535, **KNOWN),
    "MetaImage packed": Kind(".mha", metaimage(volume(SIGNED), packed=True), SIGNED, white=32767, **KNOWN),
    "MetaImage of one slice": Kind(
        ".mha", metaimage(FLOAT.T[..., None]), FLOAT, white=None, spacing_mm=(0.75, 0.5),
    ),
    "NRRD": Kind(".nrrd", nrrd_file(volume(WORDS), "raw"), WORDS, white=65535, **KNOWN),
    "NRRD packed": Kind(".nrrd", nrrd_file(volume(FLOAT), "gzip"), FLOAT, white=None, **KNOWN),
    "DICOM frames": Kind(".dcm", frames(volume(WORDS)), WORDS, white=65535, rescale=(3.0, -20.0), **KNOWN),
    "DICOM frames packed": Kind(
        ".dcm", frames(volume(TWELVE), packed=True), TWELVE, white=65535, rescale=(3.0, -20.0), **KNOWN
    ),
}  # fmt: skip
