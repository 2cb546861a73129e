"""Shared fixtures: real archives where they are, phantoms everywhere."""

import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from tests.drawing import drawn, pixel

settings.register_profile("bioseg", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("bioseg")
ARCHIVES = Path(os.environ.get("BIOSEG_ARCHIVES", Path(__file__).parents[2] / "shared" / "data"))
FILES = {
    "montgomery": "cxr/montgomery.zip",
    "jsrt": "cxr/jsrt.zip",
    "shenzhen": "cxr/shenzhen.zip",
    "stage1_train": "nuclei/stage1_train.zip",
    "finding-lungs": "ct-lungs/finding-lungs-in-ct-data.tar.xz",
    "lv_deeplearning": "cardiac-lv/lv_deeplearning.zip",
    "sunnybrook-dicom": "cardiac-lv/sunnybrook-dicom.zip",
    "sunnybrook-png": "cardiac-lv/sunnybrook-png.zip",
    "opacity": "pneumonia/opacity.zip",
    "rsna-sample": "pneumonia/rsna-sample.zip",
    "rsna-labels": "pneumonia/rsna-labels.zip",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """A part of the tests, for machines side by side."""
    parser.addoption("--shard", default="1/1", help="K/N: the Kth of N parts; whole files, spread evenly.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One shard. Tests on real data run where the archives are; elsewhere they are skipped by name, not in silence."""
    shard, shards = map(int, config.getoption("--shard").split("/"))
    assert 1 <= shard <= shards, "--shard K/N: K from 1 to N"
    files = sorted({item.path for item in items})
    chosen = set(files[shard - 1 :: shards])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in chosen])
    items[:] = [item for item in items if item.path in chosen]
    if not ARCHIVES.is_dir():
        absent = pytest.mark.skip(reason=f"no archives at {ARCHIVES}; set BIOSEG_ARCHIVES")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(absent)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack an archive once, for all processes that run the tests; the folder holds what the archive holds."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def unpacked(name: str) -> Path:
        folder = shared / f"archive-{name}"
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                new = shared / f"new-{name}"
                _unpack(ARCHIVES / FILES[name], new)
                new.rename(folder)
        return folder

    return unpacked


def _unpack(source: Path, folder: Path) -> None:
    if source.suffix == ".zip":
        zipfile.ZipFile(source).extractall(folder)
    else:
        with tarfile.open(source) as packed:
            packed.extractall(folder, filter="data")


@pytest.fixture(scope="session", autouse=True)
def _figures_of_one_pixel() -> Iterator[None]:
    with drawn(pixel):
        yield


@pytest.fixture(scope="module")
def real_figures() -> Iterator[None]:
    """Figures are drawn in this module."""
    with drawn():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or writes the user's prepared cache."""
    monkeypatch.setenv("BIOSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


DEVICES = ["cpu"]
if torch.cuda.is_available():
    DEVICES.append("cuda:0")
if torch.backends.mps.is_available():
    DEVICES.append("mps")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is, one after the other."""
    return torch.device(request.param)
