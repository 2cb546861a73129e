"""cellpose: label images ``NAME_cp_masks.png`` or ``.tif``, and ``NAME_seg.npy``.

The latter is a pickle, which may run any program when it is loaded. It is never loaded as one: its instructions are followed by
Python's own slow unpickler, which finds no class or function but two of this module that keep what they are given; arrays are
then built from their bytes. Nothing of NumPy's own unpickling runs, and the number of instructions is limited.
"""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Unusable, check_size, of_labels
from bioseg.images import formats
from bioseg.types import Array, BiosegError

MAX_BYTES = 1_000_000_000
MAX_STEPS = 1_000_000
"""Instructions of a pickle; cellpose writes some hundreds."""
MAX_PIXELS = formats.MAX_PIXELS
PNG = "save the masks as PNG or TIFF from cellpose"
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


def read_image(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The objects of a label image, by number.

    Raises:
        Unusable: It cannot be read, is of another size, or its values are no numbers of objects.
    """
    try:
        pixels = formats.read(path).pixels
    except BiosegError as fault:
        raise Unusable(str(fault).removeprefix(f"{path}: ")) from None
    return _objects(pixels, shape)


def read_seg(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The objects in ``masks`` of a ``_seg.npy`` file, by number.

    Raises:
        Unusable: It is damaged, calls anything but arrays, is no file of cellpose, or of another size.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise Unusable(f"{size:,} bytes, more than {MAX_BYTES:,}; {PNG}")
    masks = _masks(path.read_bytes())
    return _objects(masks[0] if masks.ndim == 3 and len(masks) == 1 else masks, shape)


def _objects(labels: Array, shape: tuple[int, int]) -> list[Annotation]:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise Unusable(f"masks of shape {labels.shape} and type {labels.dtype}, not one number a pixel; {PNG}")
    check_size(labels.shape, shape)
    return of_labels(labels.astype(np.int64))


def _masks(content: bytes) -> Array:
    """The array called ``masks`` of the dictionary in an npy file."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(file)
    except Exception as fault:  # of NumPy, for whatever is wrong with a header
        raise Unusable(f"no NumPy file ({str(fault)[:80]}); {PNG}") from None
    if shape != () or not dtype.hasobject:
        raise Unusable(f"an array of shape {shape} and type {dtype}, not what cellpose saves; {PNG}")
    whole = _unpickled(file.read())
    if isinstance(whole, _Array) and isinstance(whole.data, list) and len(whole.data) == 1:
        whole = whole.data[0]
    masks = whole.get("masks") if isinstance(whole, dict) else None
    if not isinstance(masks, _Array):
        raise Unusable(f"holds no array called masks; {PNG}")
    return masks.array()


class _Type:
    """What a pickle says of an array's type: ``i4``, ``u2``, with byte order."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.order = state[1]


class _Array:
    """What a pickle says of an array; also a number of NumPy's or a path, of which nothing is kept."""

    def __init__(self, *_: object) -> None:
        self.shape: Any = None
        self.type: Any = None
        self.fortran: Any = False
        self.data: Any = None

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, self.shape, self.type, self.fortran, self.data = state

    def array(self) -> Array:
        """The array of whole numbers; its bytes must be as many as its shape says."""
        name = str(self.type.name) if isinstance(self.type, _Type) else ""
        known = name in ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
        sized = isinstance(self.shape, tuple) and all(isinstance(one, int) and one >= 0 for one in self.shape)
        if not known or not sized or not isinstance(self.data, bytes):
            raise Unusable(f"masks are no array of whole numbers; {PNG}")
        order = self.type.order if self.type.order in "<>" else "="
        found = np.frombuffer(self.data, np.dtype(f"{order}{name}" if name[1:] != "1" else name))
        count = 1
        for one in self.shape:
            count *= one
        if found.size != count or len(self.shape) > 3 or count > MAX_PIXELS:
            raise Unusable(f"masks of shape {self.shape} in {len(self.data):,} bytes; {PNG}")
        return found.reshape(self.shape, order="F" if self.fortran is True else "C")


class _Reader(pickle._Unpickler):  # the one in Python: its memory grows with the file, not with a number in it
    """Finds arrays and their types, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES:
            if name == "dtype":
                return _Type
            if name in ("_reconstruct", "ndarray", "scalar"):
                return _Array
        if module == "pathlib" and name.endswith("Path"):
            return _Array
        raise Unusable(f"calls {str(module)[:40]}.{str(name)[:40]}, which could run a program; {PNG}")

    def persistent_load(self, pid: Any) -> Any:
        raise Unusable(f"refers to something outside the file; {PNG}")


def _unpickled(content: bytes) -> Any:
    try:
        for steps, _ in enumerate(pickletools.genops(content)):
            if steps > MAX_STEPS:
                raise Unusable(f"more than {MAX_STEPS:,} instructions; {PNG}")
        return _Reader(io.BytesIO(content), encoding="latin-1").load()
    except Unusable:
        raise
    except Exception as fault:  # a damaged pickle may fail in any way
        raise Unusable(f"damaged or cut short ({str(fault)[:80] or type(fault).__name__}); {AGAIN}") from None
