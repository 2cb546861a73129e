"""The list of codecs says what is so: what it calls present is read, what it calls missing is refused by name."""

import pytest
from pydicom.uid import MPEG2MPML, UID

from bioseg.images import codecs, formats
from tests.contracts.image_files import GREY, dicom
from tests.contracts.kinds import KINDS


def test_every_codec_has_a_decoder_or_a_remedy() -> None:
    found = codecs.codecs()
    assert {"DICOM JPEG baseline", "DICOM JPEG-LS", "DICOM JPEG 2000", "DICOM RLE", "TIFF LZW"} <= set(found)
    for state in found.values():
        assert state.split()[0]
        assert not state.startswith("missing") or "; pip install " in state


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("DICOM JPEG baseline", "DICOM JPEG baseline"),
        ("DICOM JPEG extended (12-bit)", "DICOM JPEG extended 12-bit"),
        ("DICOM JPEG lossless", "DICOM JPEG lossless 12-bit"),
        ("DICOM JPEG-LS", "DICOM JPEG-LS 16-bit"),
        ("DICOM JPEG 2000", "DICOM JPEG 2000 16-bit"),
        ("DICOM RLE", "DICOM run lengths"),
        ("TIFF LZW", "TIFF LZW"),
        ("TIFF JPEG", "TIFF JPEG"),
        ("TIFF CCITT fax", "TIFF fax"),
    ],
)
def test_what_is_there_is_read(codec: str, kind: str) -> None:
    assert not codecs.codecs()[codec].startswith("missing")
    assert formats.read(KINDS[kind].data).pixels.any()


def test_what_is_missing_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "_dicom", lambda uid: "")
    assert codecs.codecs()["DICOM JPEG-LS"] == "missing; pip install pyjpegls"
    unknown = UID("1.2.3.4.5.6")
    for syntax, name in ((MPEG2MPML, "MPEG2 Main Profile"), (unknown, "1.2.3.4.5.6")):
        with pytest.raises(formats.UnreadableImage, match=rf"{name}.* is not (supported|known)") as raised:
            formats.read(dicom(GREY, syntax, b"\xff\xd8\xff\xf7"))
        assert "damaged" not in str(raised.value)
