"""Model files that are damaged, foreign or hostile: one line that names the file, and never more memory than the file has."""

import hashlib
import io
import json
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from bioseg import cli, model_file
from bioseg.pipelines.export import export
from bioseg.pipelines.open import open_predictor
from bioseg.types import BiosegError

from ..pipelines.models import write_run

Entries = dict[str, bytes]
NETWORK, RECORD, MANIFEST = "network-0.onnx", "record.json", "manifest.json"
QUICK, LONG = 60, 3000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model-files")
    return export(write_run(root / "run"), root / "model.bioseg")


def unpacked(path: Path) -> Entries:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(entries: Entries, how: int = zipfile.ZIP_STORED) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", how) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return result.getvalue()


def sealed(entries: Entries) -> bytes:
    """With digests that fit, as a forger would."""
    manifest = json.loads(entries[MANIFEST])
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in entries.items() if name != MANIFEST}
    return packed({**entries, MANIFEST: json.dumps(manifest).encode()})


def manifest(key: str, value: Any) -> Callable[[Entries], bytes]:
    def change(entries: Entries) -> bytes:
        whole = json.loads(entries[MANIFEST])
        whole[key] = value
        return packed({**entries, MANIFEST: json.dumps(whole).encode()})

    return change


def record(change: Callable[[dict[str, Any]], Any]) -> Callable[[Entries], bytes]:
    def changed(entries: Entries) -> bytes:
        whole = json.loads(entries[RECORD])
        change(whole)
        return sealed({**entries, RECORD: json.dumps(whole).encode()})

    return changed


def network(change: Callable[[onnx.ModelProto], Any]) -> Callable[[Entries], bytes]:
    def changed(entries: Entries) -> bytes:
        model = onnx.load_from_string(entries[NETWORK])
        change(model)
        return sealed({**entries, NETWORK: model.SerializeToString()})

    return changed


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type, model.graph.node[0].domain = "RunProgram", "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))


def weights_elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def bomb(entries: Entries) -> bytes:
    """A kilobyte that says it holds a gigabyte of zeros."""
    return packed({**entries, "card.md": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)


def lie(entries: Entries) -> bytes:
    """A stored entry whose sizes say four gigabytes."""
    data = bytearray(packed(entries))
    place = data.index(b"PK\x01\x02")
    data[place + 20 : place + 28] = b"\xf0\xff\xff\xff" * 2
    return bytes(data)


def twice(entries: Entries) -> bytes:
    result = io.BytesIO(packed(entries))
    with zipfile.ZipFile(result, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(RECORD, b"{}")
    return result.getvalue()


def recipe(path: str, value: Any) -> Callable[[Entries], bytes]:
    def change(whole: dict[str, Any]) -> None:
        *way, last = path.split(".")
        at = whole["recipe"]
        for step in way:
            at = at[step]
        at[last] = value

    return record(change)


VARIANTS: dict[str, tuple[Callable[[Entries], bytes], str]] = {
    "empty": (lambda entries: b"", "damaged or not a model file"),
    "text": (lambda entries: b"hello", "damaged or not a model file"),
    "another zip": (lambda entries: packed({"a.txt": b"x"}), "is not a model file"),
    "empty zip": (lambda entries: packed({}), "is not a model file"),
    "cut": (lambda entries: packed(entries)[:-4000], "damaged or not a model file"),
    "half": (lambda entries: packed(entries)[: len(packed(entries)) // 2], "damaged or not a model file"),
    "compressed": (lambda entries: packed(entries, zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    "bomb": (bomb, "compressed or encrypted"),
    "sizes that lie": (lie, ""),
    "entry twice": (twice, "one of them twice"),
    "too many entries": (lambda e: packed(e | {f"{n}.onnx": b"" for n in range(200)}), "holds 203 entries"),
    "foreign entry": (lambda e: sealed({**e, "setup.py": b"import os"}), "'setup.py' does not belong there"),
    "path": (lambda e: sealed({**e, "../../x.onnx": b""}), "'../../x.onnx' does not belong there"),
    "huge text": (lambda e: sealed({**e, "card.md": bytes(60_000_000)}), "has 60000000 bytes"),
    "no network": (lambda e: sealed({k: v for k, v in e.items() if k != NETWORK}), "'network-0.onnx' is missing"),
    "no record": (lambda e: sealed({k: v for k, v in e.items() if k != RECORD}), "'record.json' is missing"),
    "other network": (lambda e: packed({**e, NETWORK: e[NETWORK][:-1] + b"\0"}), "network-0.onnx: is not what"),
    "other record": (lambda e: packed({**e, RECORD: e[RECORD] + b" "}), "record.json: is not what the manifest says"),
    "manifest no JSON": (lambda e: packed({**e, MANIFEST: b"{"}), "manifest.json: not readable"),
    "manifest not UTF-8": (lambda e: packed({**e, MANIFEST: b"\xff"}), "manifest.json: not readable"),
    "manifest a list": (lambda e: packed({**e, MANIFEST: b"[]"}), "is not a model file"),
    "manifest deep": (lambda e: packed({**e, MANIFEST: b"[" * 90 + b"]" * 90}), "nested more than 32"),
    "later format": (manifest("format", 2), "format 2; this version reads 1"),
    "format a text": (manifest("format", "1"), "format '1'"),
    "format true": (manifest("format", True), "format True"),
    "networks -1": (manifest("networks", -1), "networks: -1; give from 1 to 100"),
    "networks many": (manifest("networks", 10**9), "networks: 1000000000; give from 1 to 100"),
    "networks two": (manifest("networks", 2), "'network-1.onnx' is missing"),
    "opset a text": (manifest("opset", "18"), "opset: '18'; give a whole number"),
    "digests a list": (manifest("sha256", []), "sha256: []; give an object"),
    "no digests": (manifest("sha256", {}), "is not what the manifest says"),
    "record no JSON": (lambda e: sealed({**e, RECORD: b"{"}), "record.json: not readable"),
    "record a list": (lambda e: sealed({**e, RECORD: b"[]"}), "no field 'recipe'"),
    "record later": (record(lambda whole: whole.update(format=99)), "record.json: format 99"),
    "record names code": (
        recipe("layout", {"$call": "os:system", "command": "touch bioseg-crafted"}), "names 'os:system', which a record",
    ),
    "preparation names code": (
        recipe("preparation", {"$type": "subprocess:Popen", "args": "touch bioseg-crafted"}), "names 'subprocess:Popen'",
    ),
    "recipe of another kind": (recipe("$type", "bioseg.recipe:TranslationRecipe"), "expected a segmentation recipe"),
    "recipe no type": (record(lambda whole: whole["recipe"].pop("$type")), "expected a segmentation recipe"),
    "no preparation": (record(lambda whole: whole["recipe"].pop("preparation")), "lacks preparation"),
    "tta unknown": (recipe("tta", "sixteen"), "tta: 'sixteen'"),
    "tta a list": (recipe("tta", []), "tta: "),
    "size 0": (recipe("preparation.size_px", [0, 0]), "size_px"),
    "postprocess foreign": (lambda e: sealed({**e, "postprocess.json": b'{"a": 1}'}), "postprocess.json: holds a dict"),
    "quality foreign": (lambda e: sealed({**e, "quality_model.json": b"[1]"}), "quality_model.json: holds a tuple"),
    "network no ONNX": (lambda e: sealed({**e, NETWORK: b"hello"}), "cannot open its network"),
    "network empty": (lambda e: sealed({**e, NETWORK: b""}), ""),
    "unknown opset": (manifest("opset", 999), "ONNX opset 999; this version reads 18"),
    "foreign operator": (network(foreign_operator), "cannot open its network"),
    "weights in another file": (network(weights_elsewhere), "its weights lie in other files"),
    "network without features": (network(lambda model: model.graph.output.pop()), "network: "),
    "other input": (network(lambda model: setattr(model.graph.input[0], "name", "x")), ""),
}  # fmt: skip
"""A change, and words of the line that is expected; where they are empty, backends say different things."""


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_refused_in_one_line(
    name: str,
    backend: str,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    change, words = VARIANTS[name]
    path, image = tmp_path / "changed.bioseg", tmp_path / "image.png"
    path.write_bytes(change(unpacked(sound)))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(image)
    command = ["bioseg", "predict", path, image, "--out", tmp_path / "out", "--backend", backend]
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main()
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert end.value.code == 1 and lines and lines[0].startswith("bioseg: ") and words in lines[0], lines
    assert len(lines) == 1 or lines[1] == "bioseg: 1 left out, the reasons above; the rest is done", lines
    assert not Path("bioseg-crafted").exists() and not list(tmp_path.glob("out/*.png"))


def test_an_opset_that_onnx_runtime_does_not_know(sound: Path, tmp_path: Path) -> None:
    """OpenVINO reads it as the newest it knows."""
    change = network(lambda model: setattr(model.opset_import[0], "version", 999))
    (tmp_path / "x.bioseg").write_bytes(change(unpacked(sound)))
    with pytest.raises(
        BiosegError, match=r"x\.bioseg: onnx cannot open its network .*opset.*install a newer onnxruntime"
    ):
        open_predictor(tmp_path / "x.bioseg", backend="onnx")


def test_a_missing_file() -> None:
    with pytest.raises(BiosegError, match="no such model"):
        open_predictor("nothing.bioseg")
    with pytest.raises(BiosegError, match="not there"):
        model_file.read(Path("nothing.bioseg"))


def shake(seeds: range, sound: Path, path: Path) -> None:
    """Bytes flipped anywhere: a result or one exception."""
    data, faults = sound.read_bytes(), list[str]()
    edges = [*range(400), *range(len(data) - 400, len(data))]
    for seed in seeds:
        rng, changed = random.Random(seed), bytearray(data)
        for _ in range(rng.randint(1, 4)):
            changed[rng.choice(edges) if rng.random() < 0.7 else rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(changed))
        try:
            model_file.read(path)
        except BiosegError as fault:
            faults.append(str(fault))
    assert all(str(path) in fault and "\n" not in fault for fault in faults)
    assert len(faults) > len(seeds) / 2


def test_flipped_bytes_quick(sound: Path, tmp_path: Path) -> None:
    shake(range(QUICK), sound, tmp_path / "x.bioseg")


@pytest.mark.slow
def test_flipped_bytes_long(sound: Path, tmp_path: Path) -> None:
    shake(range(QUICK, LONG), sound, tmp_path / "x.bioseg")
