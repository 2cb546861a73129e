"""Which compressions can be decoded with the packages that are installed."""

from importlib.util import find_spec

_DICOM = {  # name → (transfer syntax UID, the packages that add it)
    "DICOM JPEG baseline": ("1.2.840.10008.1.2.4.50", "pillow"),
    "DICOM JPEG extended (12-bit)": ("1.2.840.10008.1.2.4.51", "python-gdcm"),
    "DICOM JPEG lossless": ("1.2.840.10008.1.2.4.70", "python-gdcm"),
    "DICOM JPEG-LS": ("1.2.840.10008.1.2.4.80", "pyjpegls"),
    "DICOM JPEG 2000": ("1.2.840.10008.1.2.4.90", "pylibjpeg pylibjpeg-openjpeg"),
    "DICOM High-Throughput JPEG 2000": ("1.2.840.10008.1.2.4.201", "pylibjpeg pylibjpeg-openjpeg"),
    "DICOM RLE": ("1.2.840.10008.1.2.5", "pydicom"),
}
_TIFF = ("TIFF LZW", "TIFF JPEG", "TIFF CCITT fax")


def codecs() -> dict[str, str]:
    """The compressions that medical images are found in, for a report on the installation.

    Returns:
        Name → the package that decodes it, or ``"missing; …"`` with the remedy.
    """
    from PIL import features

    all_tiff = "imagecodecs" if find_spec("imagecodecs") else ""
    some_tiff = all_tiff or ("pillow" if features.check("libtiff") else "")
    return {
        **{name: _dicom(uid) or f"missing; pip install {packages}" for name, (uid, packages) in _DICOM.items()},
        **dict.fromkeys(_TIFF, some_tiff or "missing; pip install imagecodecs"),
        "TIFF JPEG 2000, LERC, 12-bit": all_tiff or "missing; pip install imagecodecs",
    }


def _dicom(uid: str) -> str:
    """What decodes a transfer syntax; empty if nothing does."""
    from pydicom.uid import UID

    from bioseg.images.dicom import decoder_of

    return decoder_of(UID(uid))
