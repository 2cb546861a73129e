"""A DICOM data set that was read before, or came over the network, as the content of a file."""

import io
from typing import TYPE_CHECKING, Any

from bioseg.images.raw_image import UnreadableImage

if TYPE_CHECKING:
    from pydicom import Dataset


def content_of(dataset: "Dataset | Any") -> bytes:
    """The file that a data set would be written to; the data set is left as it is.

    Without a transfer syntax, as from a DICOM node without its file meta information, it is taken for uncompressed.

    Raises:
        UnreadableImage: It is no data set, or one of its values cannot be written.
    """
    from pydicom import Dataset, dcmwrite
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    if not isinstance(dataset, Dataset):
        given = type(dataset).__name__
        raise UnreadableImage(f"is none, of type {given}; give a path, bytes, a NumPy array or a pydicom data set")
    meta = FileMetaDataset()
    meta.update(getattr(dataset, "file_meta", {}))
    if not meta.get("TransferSyntaxUID"):
        implicit, _ = dataset.original_encoding
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = io.BytesIO()
    try:
        meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID") or SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or generate_uid()
        dcmwrite(file, FileDataset(io.BytesIO(), dataset, b"\0" * 128, meta), enforce_file_format=True)
    except Exception as fault:  # of pydicom, for whatever is wrong with a value
        reason = " ".join(str(fault).split())
        raise UnreadableImage(f"cannot be written ({reason}); correct it") from None
    return file.getvalue()
