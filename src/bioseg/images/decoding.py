"""Which reader a file is for, by its first bytes, not by its name. Runs in the decoder process, see worker.py."""

from importlib.util import find_spec
from typing import BinaryIO

from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from bioseg.images import metaimage, pillow
from bioseg.images.raw_image import AGAIN, Header, UnreadableImage

_PLUGINS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MICROSCOPES = {
    b"ZISRAWFILE": "a Zeiss CZI file",
    b"\x70\0\0\0": "a Leica LIF file",
    b"\xda\xce\xbe\x0a": "a Nikon ND2 file",
}
_EXPORT = "export it as PNG or TIFF"
_UNPACK = "unpack it first"
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (  # (offset, bytes there, what it is, remedy)
    (0, b"\xff\xd8\xff\xf7", "a JPEG-LS image", _EXPORT),
    (8, b"WEBP", "a WebP image", _EXPORT),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", _EXPORT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _EXPORT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", _EXPORT),
    (4, b"ftyp", "a HEIF or AVIF image, or a film", _EXPORT),
    (344, b"ni1\0", "a NIfTI header without its voxels", "save it as one file (.nii.gz)"),
    (0, b"\xd0\xcf\x11\xe0", "a Microsoft compound file (ZVI or an office document)", f"{_EXPORT}, with Fiji"),
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
    if header := _volume(file, start, suffix) or _micrograph(file, start, suffix):
        return header
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


def _volume(file: BinaryIO, start: bytes, suffix: str) -> Header | None:
    """The header of a NIfTI, MetaImage or NRRD file; None for others."""
    from bioseg.images import nifti

    if start[128:132] == b"DICM":
        return None
    packed = start.startswith(b"\x1f\x8b")
    if packed:
        try:
            start = nifti.unpacked_start(file)
        except Exception:  # of gzip, for a damaged file
            if suffix == ".nii.gz":
                raise
        file.seek(0)
    if nifti.is_nifti(start):
        _need("nibabel", "a NIfTI volume", "formats")
        return nifti.open_header(file, packed=packed)
    if packed and suffix == ".nii.gz":
        raise UnreadableImage("a gzip file without a NIfTI volume in it; unpack it first")
    if start.startswith(b"NRRD"):
        _need("nrrd", "an NRRD volume", "formats")
        from bioseg.images import nrrd_volume

        return nrrd_volume.open_header(file)
    if suffix in (".mha", ".mhd") or metaimage.is_metaimage(start):
        return metaimage.open_header(file)
    return None


def _micrograph(file: BinaryIO, start: bytes, suffix: str) -> Header | None:
    """The header of a microscope's own format; None for others."""
    kind = next((kind for magic, kind in _MICROSCOPES.items() if start.startswith(magic)), "")
    if suffix in (".oib", ".oif"):
        kind = "an Olympus OIB or OIF file"
    if not kind:
        return None
    _need("bioio", kind, "microscopy")
    from bioseg.images import microscopy

    return microscopy.open_header(file)


def _need(package: str, kind: str, extra: str) -> None:
    if not find_spec(package):
        raise UnreadableImage(f"{kind} needs the package {package}, which is not here; pip install 'bioseg[{extra}]'")
