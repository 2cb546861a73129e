"""Which reader a file is for, by its first bytes, not by its name. Runs in the decoder process, see worker.py."""

from typing import BinaryIO

from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from bioseg.images import pillow
from bioseg.images.raw_image import AGAIN, Header, UnreadableImage

_PLUGINS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXPORT = "export it as PNG or TIFF"
_UNPACK = "unpack it first"
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (  # (offset, bytes there, what it is, remedy)
    (0, b"\xff\xd8\xff\xf7", "a JPEG-LS image", _EXPORT),
    (8, b"WEBP", "a WebP image", _EXPORT),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", _EXPORT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _EXPORT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", _EXPORT),
    (4, b"ftyp", "a HEIF or AVIF image, or a film", _EXPORT),
    (344, b"n+1\0", "a NIfTI volume", "save the slices as DICOM, PNG or TIFF"),
    (344, b"ni1\0", "a NIfTI header", "save the slices as DICOM, PNG or TIFF"),
    (0, b"NRRD", "an NRRD volume", "save the slices as DICOM, PNG or TIFF"),
    (0, b"ObjectType", "a MetaImage header", "save the slices as DICOM, PNG or TIFF"),
    (0, b"ZISRAWFILE", "a Zeiss CZI file", f"{_EXPORT}, with ZEN or Fiji"),
    (0, b"\x70\0\0\0", "a Leica LIF file", f"{_EXPORT}, with LAS X or Fiji"),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file", f"{_EXPORT}, with NIS-Elements or Fiji"),
    (0, b"\xd0\xcf\x11\xe0", "a Microsoft compound file (OIB, ZVI or an office document)", f"{_EXPORT}, with Fiji"),
    (0, b"\x89HDF", "an HDF5 file", _EXPORT),
    (0, b"\x93NUMPY", "a NumPy array", "give the array itself in Python, or save it as TIFF"),
    (0, b"%PDF", "a PDF document", "extract its images as PNG"),
    (0, b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"<svg", "an SVG drawing", _EXPORT),
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the file with 'git lfs pull'"),
)


def open_image(file: BinaryIO, suffix: str, level: int = 0) -> Header:
    """The header of an image file.

    Args:
        file: At its beginning.
        suffix: Of its name, lower case; ``.dcm`` marks DICOM files that were written without a preamble.
        level: Of a pyramid, 0 for the largest.

    Raises:
        UnreadableImage: It is empty, or of a kind that is not read here. The message does not name the file.
        Exception: Whatever a reader raises for a damaged file.
    """
    start = file.read(512)
    file.seek(0)
    if not start:
        raise UnreadableImage(f"0 bytes; {AGAIN}")
    for offset, magic, kind, remedy in _FOREIGN:
        if start[offset : offset + len(magic)] == magic and start[128:132] != b"DICM":
            raise UnreadableImage(f"{kind}, which is not supported; {remedy}")
    if level and not start.startswith(_TIFF):
        raise UnreadableImage(f"level {level} is asked for, but it is no pyramid; leave --level out")
    for magic, plugin in _PLUGINS.items():
        if start.startswith(magic):
            return pillow.open_header(plugin(file))
    if start.startswith(_TIFF):
        from bioseg.images import tiff

        return tiff.open_header(file, level)
    if start[128:132] == b"DICM" or suffix == ".dcm":
        from bioseg.images import dicom

        if header := dicom.open_header(file):
            return header
    if suffix in (".img", ".raw"):
        raise UnreadableImage("no header says its size; give rows, cols and dtype as a RawFormat")
    raise UnreadableImage(f"of no known format (begins with {start[:4]!r}); save it as PNG, TIFF or DICOM")
