"""Commands let waiting threads sleep; a user's own process stays as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioseg.cli import processor

BEFORE = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}


def python(code: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**BEFORE, **more}, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_a_command_sets_passive_waiting_before_torch_is_loaded() -> None:
    code = """
import os, sys
from bioseg import cli
assert "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ["OMP_WAIT_POLICY"])
            raise SystemExit
sys.meta_path.insert(0, Finder())
sys.argv = ["bioseg", "recipes"]
cli.main()
"""
    assert python(code) == "passive"


def test_python_m_bioseg_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bioseg", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: bioseg" in done.stdout


@pytest.mark.parametrize(
    "module", ["bioseg", "bioseg.cli", "bioseg.__main__", pytest.param("bioseg.api", marks=pytest.mark.slow)]
)
def test_importing_changes_no_variable_of_the_process(module: str) -> None:
    code = f"import os; before = dict(os.environ); import {module}; print(*sorted(set(os.environ.items()) - set(before.items())))"
    by_others = {"('KMP_DUPLICATE_LIB_OK',", "('KMP_INIT_AT_FORK',"}  # scikit-learn sets these when it is imported
    assert {word for word in python(code).split() if word.startswith("(")} <= by_others


@pytest.mark.slow
def test_using_the_library_changes_no_variable_and_no_thread_count() -> None:
    code = """
import os, torch, numpy as np, bioseg
def ours():
    return {key: value for key, value in os.environ.items() if key.startswith(("OMP_", "GOMP_", "MKL_", "KMP_BLOCKTIME"))}
before, threads = ours(), torch.get_num_threads()
bioseg.load("pretrained:ct-lungs", "cpu").predict(np.zeros((64, 64), np.float32))
print(ours() == before, torch.get_num_threads() == threads)
"""
    assert python(code) == "True True"


def test_what_the_user_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "cores_allowed", lambda: 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    mine = {"OMP_WAIT_POLICY": "active", "THP_MEM_ALLOC_ENABLE": "0", "OMP_NUM_THREADS": "5"}
    processor.share_processor(mine)
    assert mine == {"OMP_WAIT_POLICY": "active", "THP_MEM_ALLOC_ENABLE": "0", "OMP_NUM_THREADS": "5"}
    fresh: dict[str, str] = {}
    processor.share_processor(fresh)
    assert fresh == {"OMP_WAIT_POLICY": "passive", "THP_MEM_ALLOC_ENABLE": "1", "OMP_NUM_THREADS": "1"}


def test_with_all_cores_the_number_of_threads_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "cores_allowed", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    fresh: dict[str, str] = {}
    processor.share_processor(fresh)
    assert fresh == {"OMP_WAIT_POLICY": "passive", "THP_MEM_ALLOC_ENABLE": "1"}


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 6), ("x", 6)]
)
def test_a_containers_share_counts(text: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert processor.cores_allowed(quota) == cores
    assert processor.cores_allowed(tmp_path / "none") == 6
