"""Microscopes' own formats, by a stand-in for bioio: the real one brings other versions than the tests' environment has.

The stand-in has what bioio 3.6 was seen to return for OME-TIFF; no CZI, LIF, ND2 or OIB file has been read.
"""

import io
from pathlib import Path

import numpy as np
import pytest

from bioseg.images import decoding, formats
from bioseg.images.raw_image import UnreadableImage

STAND_IN = """
import types
import numpy as np

class UnsupportedFileFormatError(Exception):
    pass

class BioImage:
    scenes = ("one", "two")

    def __init__(self, path):
        if "unknown" in path:
            raise UnsupportedFileFormatError(path)
        self.colour, self.odd = "colour" in path, "odd" in path

    def set_scene(self, scene):
        self.scene = scene

    @property
    def dims(self):
        rows = 5 + self.scene * self.odd
        return types.SimpleNamespace(T=2, C=1, Z=3, Y=rows, X=7, order="TCZYX" + "S" * self.colour)

    @property
    def physical_pixel_sizes(self):
        return types.SimpleNamespace(Z=2.0, Y=0.5, X=0.25)

    def get_image_data(self, order, T, Z):
        assert order == ("YXS" if self.colour else "YXC")
        return np.full((5, 7, 3 if self.colour else 1), 100 * self.scene + 10 * T + Z, np.uint16)
"""
MAGIC = {"a.czi": b"ZISRAWFILE", "a.lif": b"\x70\0\0\0", "a.nd2": b"\xda\xce\xbe\x0a", "a.oib": b"\xd0\xcf\x11\xe0"}


@pytest.fixture
def _bioio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "bioio.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(__import__("sys").modules, "bioio", raising=False)


@pytest.mark.parametrize("name", MAGIC)
def test_without_bioio_the_error_names_the_extra(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(MAGIC[name] + bytes(600))
    assert formats.is_image(path)
    with pytest.raises(UnreadableImage, match=r"needs the package bioio, .*; pip install 'bioseg\[microscopy\]'$"):
        formats.read(path)


@pytest.mark.usefixtures("_bioio")
def test_planes_are_scenes_times_and_focal_planes(tmp_path: Path) -> None:
    for name in ("a.czi", "colour.czi"):
        path = tmp_path / name
        path.write_bytes(MAGIC["a.czi"] + bytes(600))
        with path.open("rb") as file:
            header = decoding.open_image(file, ".czi")
        assert (header.shape, header.planes) == ((5, 7), 12)
        raw_image = header.decode(11)
        assert raw_image.pixels.shape == ((5, 7) if name == "a.czi" else (5, 7, 3))
        assert (raw_image.pixels == 112).all() and (header.decode(1).pixels == 1).all()
        assert raw_image.spacing_mm == (0.0005, 0.00025) and raw_image.slice_spacing_mm == 0.002


@pytest.mark.usefixtures("_bioio")
def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for name, says in {"unknown.czi": "no reader of bioio", "odd.czi": r"several sizes \(5×7, 6×7\)"}.items():
        (tmp_path / name).write_bytes(MAGIC["a.czi"])
        with (tmp_path / name).open("rb") as file, pytest.raises(UnreadableImage, match=says):
            decoding.open_image(file, ".czi")
    with pytest.raises(UnreadableImage, match="give its path"):
        decoding.open_image(io.BytesIO(MAGIC["a.czi"] + np.zeros(9).tobytes()), ".czi")
