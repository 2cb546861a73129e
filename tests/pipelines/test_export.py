"""Exporting a model as one file, and what opens such a file: the command line, Python, evaluation, threads, no PyTorch."""

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bioseg
from bioseg import cli, files
from bioseg.datasets import phantom_layouts
from bioseg.inference.backends import choose
from bioseg.inference.backends.onnx import OnnxBackend
from bioseg.inference.backends.openvino import OpenVinoBackend
from bioseg.inference.predictor import Predictor
from bioseg.pipelines import scoring
from bioseg.pipelines.export import export
from bioseg.pipelines.machine import examine_machine
from bioseg.pipelines.open import open_predictor, open_translator
from bioseg.quality.applicability import Applicability
from bioseg.record import APPLICABILITY, encode
from bioseg.types import BiosegError

from .models import write_run

BACKENDS = ("onnx", "openvino")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of random weights that says which images trained it, and a folder of images ``data`` beside it."""
    root = tmp_path_factory.mktemp("export")
    phantom_layouts.write_nuclei(root / "data", count=4, seed=0, size_px=48)
    parts = {"train": ["patient-1"], "validation": ["patient-2"]}
    images = {"patient-1": "0" * 16, "patient-2": "1" * 16}
    made = write_run(root / "run", parts=parts, images=images, command=f"bioseg train {root}")
    files.write_json(made / APPLICABILITY, encode(Applicability(("GM",), may_be_empty=False)))
    return made


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(run, run.parent / "model.bioseg")


def image(seed: int, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bioseg", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_are_those_of_the_run(run: Path, exported: Path, backend: str) -> None:
    expected, found = bioseg.load(run, "cpu"), bioseg.load(exported, backend=backend)
    assert found.applicability == expected.applicability == Applicability(("GM",), may_be_empty=False)
    for seed in range(3):
        one, other = expected.predict(image(seed)), found.predict(image(seed))
        assert np.allclose(other.probability, one.probability, atol=1e-5)
        assert (other.mask != one.mask).mean() < 1e-3


def test_it_holds_no_path_and_no_id(run: Path, exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        assert set(archive.namelist()) == {"manifest.json", "network-0.onnx", "record.json", APPLICABILITY}
        record = json.loads(archive.read("record.json"))
        content = b"".join(archive.read(name) for name in archive.namelist())
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert record["image_hashes"] == {"0" * 16: "train", "1" * 16: "validation"}
    assert not {"parts", "images", "command"} & set(record)
    for word in (str(run.parent), "patient-1", str(Path(__file__).parents[2]), ".py"):
        assert word.encode() not in content, word


def test_the_same_model_gives_the_same_file(run: Path, exported: Path, tmp_path: Path) -> None:
    assert export(run, tmp_path / "again.bioseg").read_bytes() == exported.read_bytes()


def test_folds_become_an_ensemble(run: Path, tmp_path: Path) -> None:
    for fold in range(2):
        hashes = {"a" * 16: "train" if fold else "validation", "b" * 16: "validation"}
        write_run(tmp_path / "run" / f"fold-{fold}", seed=fold + 1, image_hashes=hashes)
    write_run(tmp_path / "run", folds=2)
    (tmp_path / "run" / "best.safetensors").unlink()
    files.write_json(
        tmp_path / "run" / "postprocess.json", {"$type": "bioseg.postprocess.masks:Postprocess", "threshold": 0.37}
    )
    out = export(tmp_path / "run", tmp_path / "both.bioseg")
    expected, found = open_predictor(tmp_path / "run", "cpu"), open_predictor(out)
    assert len(found.backends) == 2 and found.recipe.postprocess.threshold == 0.37
    assert np.allclose(found.predict(image(0)).probability, expected.predict(image(0)).probability, atol=1e-5)
    with zipfile.ZipFile(out) as archive:
        hashes = json.loads(archive.read("record.json"))["image_hashes"]
    assert hashes == {"a" * 16: "train", "b" * 16: "validation"}  # what trained one fold has trained the ensemble
    with pytest.raises(BiosegError, match=r"ensemble of 2 networks.*fold-0"):
        export(tmp_path / "run", tmp_path / "one.onnx", form="onnx")
    assert export(tmp_path / "run" / "fold-0", tmp_path / "one.onnx", form="onnx").stat().st_size > 1000


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_network_alone(run: Path, exported: Path, tmp_path: Path) -> None:
    expected = open_predictor(run, "cpu").backends[0]
    batch = np.random.default_rng(0).random((2, 3, 40, 56), dtype=np.float32)
    onnx = choose.build("onnx", export(run, tmp_path / "a.onnx", form="onnx").read_bytes())
    assert np.allclose(onnx(batch)[0], expected(batch)[0], atol=1e-4)
    assert (tmp_path / "a.onnx").read_bytes() in exported.read_bytes()
    script = torch.jit.load(export(run, tmp_path / "a.pt", form="torchscript"))
    with torch.inference_mode():
        assert np.allclose(script(torch.from_numpy(batch))[0].numpy(), expected(batch)[0], atol=1e-4)


class TestCommands:
    def test_export_predict_evaluate(
        self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
        file = tmp_path / "m.bioseg"
        assert call(monkeypatch, "export", run, "--out", file) == 0
        assert "m.bioseg" in capfd.readouterr().out
        Image.fromarray(image(0)).save(tmp_path / "image.png")
        for backend in ("auto", *BACKENDS):
            out = tmp_path / backend
            words = ("predict", file, tmp_path / "image.png", "--out", out, "--backend", backend)
            assert call(monkeypatch, *words) == 0
            assert (out / "image.png").exists() and (out / "measurements.csv").exists()
        data = run.parent / "data"
        capfd.readouterr()
        assert call(monkeypatch, "evaluate", file, "--data", data, "--out", tmp_path / "scores", "--json") == 0
        summary = json.loads(capfd.readouterr().out)
        assert summary["cases"] == 4 and summary["seen"] == {"validation": 0, "train": 0}
        record = json.loads((tmp_path / "scores" / "record.json").read_text())
        assert record["model"].endswith("m.bioseg") and record["model_fingerprint"]

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("export", "{run}", "--out", "{file}"), "exists; choose another file"),
            (("export", "{run}", "--out", "{new}.zip"), "a model file ends in .bioseg"),
            (("export", "{run}", "--out", "{new}.x", "--format", "coreml"), "--format coreml: choose bioseg, onnx"),
            (("export", "{file}", "--out", "{new}.bioseg"), "is an exported model already"),
            (("export", "nothing", "--out", "{new}.bioseg"), "no such model"),
            (("export", "{run}", "--out", "/proc/no/model.bioseg"), "/proc/no/model.bioseg"),
            (("predict", "{file}", "{image}", "--out", "{new}", "--backend", "torch"), "holds no PyTorch network"),
            (
                ("predict", "{file}", "{image}", "--out", "{new}", "--backend", "tpu"),
                "--backend tpu: choose auto, torch",
            ),
            (("predict", "{run}", "{image}", "--out", "{new}", "--backend", "onnx"), "bioseg export"),
            (("predict", "{file}", "{image}", "--out", "{new}", "--device", "cuda"), "is computed on the CPU"),
            (("predict", "{file}", "{data}", "--out", "{new}", "--adapt"), "--adapt: "),
            (("translate", "{file}", "{image}", "--out", "{new}"), "is no translation model"),
            (("report", "{file}"), "{file}"),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, words: tuple[str, ...], expected: str, run: Path, exported: Path, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        Image.fromarray(image(0)).save(tmp_path / "image.png")
        places = {
            "run": run, "file": exported, "new": tmp_path / "new", "image": tmp_path / "image.png", "data": run.parent / "data",
        }  # fmt: skip
        before = exported.read_bytes()
        assert call(monkeypatch, *(word.format(**places) for word in words)) == 1
        lines = [line for line in capfd.readouterr().err.splitlines() if line]
        assert len(lines) == 1 and lines[0].startswith("bioseg: ") and expected.format(**places) in lines[0], lines
        assert exported.read_bytes() == before
        assert {path.name for path in tmp_path.iterdir()} <= {"image.png"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_share_a_backend(exported: Path, backend: str) -> None:
    shared = open_predictor(exported, backend=backend)
    assert isinstance(shared.backends[0], OnnxBackend | OpenVinoBackend)
    images = [image(seed, (30 + seed, 60)) for seed in range(16)]
    alone = [shared.predict(one).probability for one in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: shared.predict(one).probability, images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_that_does_not_fit_is_one_line(exported: Path, backend: str) -> None:
    one = open_predictor(exported, backend=backend).backends[0]
    with pytest.raises(BiosegError, match=r"network: (fails on|turns) images .*1, 32, 32\]"):
        one(np.zeros((1, 1, 32, 32), np.float32))
    assert one(np.zeros((1, 3, 32, 32), np.float32))[0].shape == (1, 1, 32, 32)


class TestChoice:
    def test_auto_measures_once(self, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        times, asked = {"onnx": 3.0, "openvino": 2.0}, list[str]()

        def milliseconds(backend: object, batch: object) -> float:
            asked.append("onnx" if isinstance(backend, OnnxBackend) else "openvino")
            return times[asked[-1]]

        monkeypatch.setattr(choose, "_milliseconds", milliseconds)
        for _ in range(2):
            assert isinstance(open_predictor(exported).backends[0], OpenVinoBackend)
        assert asked == ["onnx", "openvino"]
        assert choose.measured() == times
        assert "measured: openvino 2 ms; onnx 3 ms" in examine_machine()[0]["model files"]

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"KEY": {"onnx": "fast", "openvino": 1}}'])
    def test_a_damaged_memory_is_measured_again(self, content: str, exported: Path) -> None:
        files.write(choose._path(), content.replace("KEY", choose._machine()))
        assert choose.measured() == {}
        assert isinstance(open_predictor(exported), Predictor)
        assert set(choose.measured()) == set(BACKENDS)

    def test_what_is_not_installed_is_named(
        self, exported: Path, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(choose, "installed", lambda: ["onnx"])
        with pytest.raises(BiosegError, match=r"--backend openvino: not installed; pip install 'bioseg\[openvino\]'"):
            open_predictor(exported, backend="openvino")
        assert isinstance(open_predictor(exported).backends[0], OnnxBackend)
        monkeypatch.setattr(choose, "installed", list)
        with pytest.raises(BiosegError, match=r"model files need onnxruntime or openvino; pip install"):
            open_predictor(exported)
        assert examine_machine()[0]["model files"].startswith("not computed")
        monkeypatch.setattr("bioseg.pipelines.export.util.find_spec", lambda name: None)
        with pytest.raises(
            BiosegError, match=r"--format bioseg: needs onnx and onnxruntime; pip install 'bioseg\[onnx\]'"
        ):
            export(run, tmp_path / "new.bioseg")


def test_a_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BiosegError, match="the disk is full"):
        export(run, tmp_path / "new.bioseg")
    assert list(tmp_path.iterdir()) == []


def test_a_translator_is_no_model_file(exported: Path) -> None:
    with pytest.raises(BiosegError, match="is no translation model"):
        open_translator(exported)


WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "onnx"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
"""


def without_torch(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT + code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


class TestWithoutPyTorch:
    COMMAND = "sys.argv[0] = 'bioseg'\nfrom bioseg import cli\ncli.main()\n"

    @pytest.mark.parametrize("backend", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
    def test_a_model_file_predicts(self, backend: str, exported: Path, tmp_path: Path) -> None:
        Image.fromarray(image(0)).save(tmp_path / "image.png")
        words = ("predict", exported, tmp_path / "image.png", "--out", tmp_path / "out", "--backend", backend)
        done = without_torch(self.COMMAND, *words)
        assert (done.returncode, done.stderr) == (0, "")
        expected = open_predictor(exported, backend=backend).predict(tmp_path / "image.png").mask
        assert ((np.asarray(Image.open(tmp_path / "out" / "image.png")) > 0) == expected).all()

    def test_in_python(self, exported: Path) -> None:
        code = "import bioseg, numpy\nmodel = bioseg.load(sys.argv[1])\n"
        code += "print(model.predict(numpy.zeros((20, 30, 3), 'uint8')).mask.shape, 'torch' in sys.modules)"
        done = without_torch(code, exported)
        assert done.stdout.split("\n")[0] == "(20, 30) False", done.stderr

    def test_a_run_folder_says_what_it_needs(self, run: Path, tmp_path: Path) -> None:
        Image.fromarray(image(0)).save(tmp_path / "image.png")
        done = without_torch(self.COMMAND, "predict", run, tmp_path / "image.png", "--out", tmp_path / "out")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
        assert "needs PyTorch; pip install torch" in done.stderr


def test_code_of_the_user_s_stays_behind(tmp_path: Path) -> None:
    """A network of one's own is exported; the file holds nothing of its code."""
    source = (
        "from torch import nn\nfrom bioseg.models.unet import nuclei_unet\n\n\n"
        "def net() -> nn.Module:\n    return nuclei_unet()\n"
    )
    (tmp_path / "mine.py").write_text(
        source + "\n\nfrom dataclasses import replace\nfrom bioseg import call, get_recipe\n"
        "base = get_recipe('nuclei-reference')\n"
        "RECIPE = replace(base, name='mine', network=call(net), choose=None,\n"
        "    preparation=replace(base.preparation, size_px=(32, 32)), training=replace(base.training, epochs=1))\n"
    )
    phantom_layouts.write_nuclei(tmp_path / "data", count=10, seed=0, size_px=32)
    bioseg.train(str(tmp_path / "mine.py"), tmp_path / "data", tmp_path / "run", device="cpu", allow_code=True)
    with pytest.raises(BiosegError, match="--allow-code"):
        export(tmp_path / "run", tmp_path / "mine.bioseg")
    out = export(tmp_path / "run", tmp_path / "mine.bioseg", allow_code=True)
    found = open_predictor(out).predict(image(0)).probability
    expected = open_predictor(tmp_path / "run", "cpu", allow_code=True).predict(image(0)).probability
    assert np.allclose(found, expected, atol=1e-5)
