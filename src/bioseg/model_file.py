"""Model files: a trained model in one zip file, ``model.bioseg``, with everything that predicting needs and no code.

The entries are stored, not compressed: the file cannot unpack to more than it is. ``manifest.json`` says which format it has
and holds the SHA-256 of every other entry.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bioseg import files
from bioseg.specs import Range, mismatch, shown
from bioseg.types import BiosegError

SUFFIX = ".bioseg"
FORMAT = 1
"""Of the file as a whole; the record in it has a format of its own."""
OPSET = 18
"""Version of the ONNX operators in the networks."""
MANIFEST, NETWORK = "manifest.json", "network-{}.onnx"
TEXTS = ("record.json", "postprocess.json", "quality_model.json", "applicability.json", "card.md")
"""Entries beside the manifest and the networks."""
MOST_NETWORKS, LARGEST_TEXT, LARGEST_FILE = 100, 50_000_000, 4_000_000_000
"""Networks in a file; bytes of a manifest, record or other text; bytes of a file."""

_KIND = "bioseg model"
_REMEDY = "give a file that `bioseg export` wrote"
_FIELDS: dict[str, Any] = {
    "networks": Annotated[int, Range(1, MOST_NETWORKS)], "opset": Annotated[int, Range(1)],
    "sha256": dict[str, str], "made_with": dict[str, str],
}  # fmt: skip
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of all entries: the same model gives the same file."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The content of a model file, whose digests are right.

    Attributes:
        path: Where it was read.
        manifest: Its manifest.
        networks: ONNX, one per member of the ensemble: ``images`` [N, channels, rows, cols] → ``logits`` [N, K, rows, cols] and
            ``features`` [N, D].
        texts: Those of :data:`TEXTS` that are there.
        fingerprint: Sixteen hexadecimal digits, the same for the same content.
    """

    path: Path
    manifest: dict[str, Any]
    networks: tuple[bytes, ...]
    texts: dict[str, bytes]
    fingerprint: str

    def json(self, name: str) -> Any:
        """The value of a JSON entry; None where there is none.

        Raises:
            BiosegError: It is not JSON.
        """
        return _json(self.texts[name], f"{self.path}: {name}") if name in self.texts else None


def pack(networks: list[bytes], texts: Mapping[str, bytes], *, made_with: Mapping[str, str]) -> bytes:
    """The content of a model file.

    Args:
        networks: ONNX of :data:`OPSET`.
        texts: By names of :data:`TEXTS`.
        made_with: Versions of the packages that exported it.
    """
    entries = {NETWORK.format(index): data for index, data in enumerate(networks)} | dict(texts)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    manifest = {
        "kind": _KIND, "format": FORMAT, "networks": len(networks), "opset": OPSET, "made_with": dict(made_with),
        "sha256": digests,
    }  # fmt: skip
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode(), **entries}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return result.getvalue()


def read(path: Path) -> ModelFile:
    """Read a model file.

    Raises:
        BiosegError: It is missing, damaged, foreign, too large, or of a later version.
    """
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise BiosegError(f"{path}: larger than {LARGEST_FILE / 1e9:.0f} GB; {_REMEDY}")
    return parse(files.read_bytes(path, _REMEDY), path)


def parse(data: bytes, path: Path) -> ModelFile:
    """As :func:`read`, for the content of the file ``path``."""
    entries = _entries(data, path)
    manifest = _json(entries.pop(MANIFEST, b"{}"), f"{path}: {MANIFEST}")
    if not isinstance(manifest, dict) or manifest.get("kind") != _KIND:
        raise BiosegError(f"{path}: is not a model file; {_REMEDY}")
    if type(manifest.get("format")) is not int or manifest["format"] != FORMAT:
        raise BiosegError(
            f"{path}: format {shown(manifest.get('format'))}; this version reads {FORMAT}: install the one that wrote it"
        )
    for name, hint in _FIELDS.items():
        if fault := mismatch(manifest.get(name), hint):
            raise BiosegError(f"{path}: {MANIFEST}: {name}: {shown(manifest.get(name))}; {fault}")
    if manifest["opset"] != OPSET:
        raise BiosegError(
            f"{path}: ONNX opset {manifest['opset']}; this version reads {OPSET}: install the one that wrote it"
        )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items()}
    wrong = sorted(
        name for name in {*digests, *manifest["sha256"]} if digests.get(name) != manifest["sha256"].get(name)
    )
    if wrong:
        raise BiosegError(f"{path}: {wrong[0]}: is not what the manifest says; copy or export the model again")
    names = [NETWORK.format(index) for index in range(manifest["networks"])]
    if odd := sorted({*names, TEXTS[0]} - set(entries)) or sorted(set(entries) - {*names, *TEXTS}):
        what = "is missing" if odd[0] not in entries else "does not belong there"
        raise BiosegError(f"{path}: {shown(odd[0])} {what}; {_REMEDY}")
    identity = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]
    networks = tuple(entries.pop(name) for name in names)
    return ModelFile(path, manifest, networks, entries, identity)


def _entries(data: bytes, path: Path) -> dict[str, bytes]:
    """Every entry; what a hostile file declares is checked before memory is taken for it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if len(set(names)) < len(names) or len(names) > MOST_NETWORKS + len(TEXTS) + 1:
                raise BiosegError(f"{path}: holds {len(names)} entries, or one of them twice; {_REMEDY}")
            for info in infos:
                _refuse_entry(path, info)
            return {info.filename: archive.read(info) for info in infos}
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        OverflowError,
    ) as fault:
        raise BiosegError(f"{path}: damaged or not a model file ({fault}); {_REMEDY}") from None


def _refuse_entry(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuse what is compressed, encrypted, or a text of an absurd size."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise BiosegError(f"{path}: {shown(info.filename)} is compressed or encrypted; {_REMEDY}")
    if not info.filename.endswith(".onnx") and info.file_size > LARGEST_TEXT:
        raise BiosegError(f"{path}: {shown(info.filename)} has {info.file_size} bytes; {_REMEDY}")


def _json(data: bytes, where: str) -> Any:
    try:
        return files.parse_json(data.decode("utf-8"))
    except ValueError as fault:  # also of UTF-8
        raise BiosegError(f"{where}: not readable ({fault}); export the model again") from None
