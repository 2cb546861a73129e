"""DICOM files in every compression, nearly all packed by other programs than those that unpack them; modality LUTs."""

import base64
import io
import struct

import numpy as np
import pydicom
from PIL import Image
from pydicom import Dataset
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from bioseg.types import Array
from tests.contracts.image_files import COLS, GREY, RGB, ROWS, SIGNED, TWELVE, WORDS, Kind, dicom

SOFT = (np.add.outer(np.arange(ROWS) * 60, np.arange(COLS) * 50)).astype(np.uint16)  # 12 bits which a JPEG keeps
SOFT_AS_JPEG = base64.b85decode(
    "|JeWA07C!)0RaI40RaI40RaI40RaL50RaI40s#R50s;a80s;a80s{jC0|NsC0|EjA1Oo#E1Ox;G0s{pF1Ox>H1Ox>C!2k;o02cry0Ra&J|HJ"
    "?l0099200000000000000001OWQ!~iG|0006B1OfvA0000000000015>QCpSb!RAO@m2PR_!C>T{_MgQ6W2mt{A06zd=K^zs`IrbYvF5|E=0"
    "FDaoocj%-mvPt`07nIPPJM>Z%ed?efFpvtr#{1IW!!cJsuy)#*Q5yc8}+j9=kwSnipb!u>Cdp*8Fw9lkOXj7bm!P@47-lN$O1Skx^wI{hF!;"
    "CWC0u%-8uFfLoVa6El|6v?!6#Ku-~nhe?OkVJKjeE2JMR<;(87SH6Pb_WC0uq8@4QeiRd^O)PG&!kOXibZrHK@C!pYCQT=y@KoP)!yJE-qo`"
    "ZpnNA=zos9n+q?T^9)e-qGu&5cLX`R^b9*#H"
)
"""Made of ``SOFT`` by ``gdcmconv --jpeg --lossy -q 98``, the one encoder of this kind at hand."""
TWELVE_BITS = {"BitsStored": 12, "HighBit": 11}


def lossless_jpeg(values: Array, bits: int) -> bytes:
    """ITU-T T.81, process 14, selection value 1; a code of 5 bits for each of the 17 sizes of a difference."""
    wide, predicted = values.astype(np.int64), np.empty(values.shape, np.int64)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = wide[:, :-1], wide[:-1, 0], 1 << (bits - 1)
    text = ""
    for difference in ((wide - predicted + 32768) % 65536 - 32768).ravel().tolist():
        size = abs(difference).bit_length()
        text += f"{size:05b}"
        if 0 < size < 16:
            text += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
    text += "1" * (-len(text) % 8)
    data = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">BHHBBBB", bits, *values.shape, 1, 1, 0x11, 0)
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    parts = [(0xC3, frame), (0xC4, table), (0xDA, bytes([1, 1, 0, 1, 0, 0]))]
    head = b"".join(bytes([255, mark]) + (len(body) + 2).to_bytes(2, "big") + body for mark, body in parts)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def jpeg_2000(values: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", no_jp2=True, irreversible=False, num_resolutions=3)
    return file.getvalue()


def compressed(array: Array, syntax: UID, **tags: object) -> bytes:
    """By an encoder of pydicom's."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(array, **tags)))
    dataset.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls")
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def modality_lut() -> tuple[bytes, Array]:
    """A file whose 8-bit values are looked up in a table of 12 bits that begins at 50; and what comes of them."""
    table = (4000 - 9 * np.arange(300)).astype(np.uint16)
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [300, 50, 12], "US"
    item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    return dicom(GREY, ModalityLUTSequence=[item]), table[np.clip(GREY.astype(int) - 50, 0, 299)]


LOOKED_UP = modality_lut()
KINDS = {
    "DICOM JPEG lossless 12-bit": Kind(
        ".dcm", dicom(TWELVE, JPEGLosslessSV1, lossless_jpeg(TWELVE, 12), **TWELVE_BITS), TWELVE, white=4095
    ),
    "DICOM JPEG lossless signed": Kind(
        ".dcm", dicom(SIGNED, JPEGLosslessSV1, lossless_jpeg(SIGNED.view(np.uint16), 16)), SIGNED, white=32767
    ),
    "DICOM JPEG extended 12-bit": Kind(
        ".dcm", dicom(SOFT, JPEGExtended12Bit, SOFT_AS_JPEG, **TWELVE_BITS), SOFT, white=4095, tolerance=2
    ),
    "DICOM JPEG-LS 16-bit": Kind(".dcm", compressed(WORDS, JPEGLSLossless), WORDS, white=65535),
    "DICOM JPEG-LS signed": Kind(".dcm", compressed(SIGNED, JPEGLSLossless), SIGNED, white=32767),
    "DICOM JPEG 2000 16-bit": Kind(".dcm", dicom(WORDS, JPEG2000Lossless, jpeg_2000(WORDS)), WORDS, white=65535),
    "DICOM JPEG 2000 in colour": Kind(
        ".dcm", dicom(RGB, JPEG2000Lossless, jpeg_2000(RGB), PhotometricInterpretation="YBR_RCT"), RGB
    ),
    "DICOM run lengths in colour": Kind(".dcm", compressed(RGB, RLELossless), RGB),
    "DICOM modality LUT": Kind(".dcm", LOOKED_UP[0], LOOKED_UP[1], white=4095),
}
