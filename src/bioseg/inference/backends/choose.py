"""Which backend computes a model file: what is installed, and which of it is fastest here."""

import importlib
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

from bioseg import files
from bioseg.datasets import cache
from bioseg.inference.backends import Backend, Batch
from bioseg.types import BiosegError

NAMES = ("auto", "torch", "onnx", "openvino")
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""By backend of a model file: the package it needs. Each is an extra of bioseg."""
REPEATS, SHOWN = 3, 200
"""Runs of which the best counts; letters of a package's own message that are shown."""


def parse(name: str) -> str:
    """A name a user gave, if it is one of :data:`NAMES`.

    Raises:
        BiosegError: It is none.
    """
    if name not in NAMES:
        raise BiosegError(f"--backend {name}: choose {', '.join(NAMES)}")
    return name


def installed() -> list[str]:
    """The backends of model files that can be used here."""
    return [name for name, package in PACKAGES.items() if util.find_spec(package)]


def build(name: str, network: bytes) -> Backend:
    """A backend of an ONNX network.

    Raises:
        BiosegError: The backend is not installed, or cannot compute this network.
    """
    if b"location" in network:  # the key under which ONNX keeps the path of weights in another file
        raise BiosegError("its weights lie in other files, which a model file may not name; export the model again")
    if name not in installed():
        raise BiosegError(f"--backend {name}: not installed; pip install 'bioseg[{name}]'")
    module = importlib.import_module(f"bioseg.inference.backends.{name}")
    make: Callable[[bytes], Backend] = getattr(module, f"{name}_backend")
    try:
        return make(network)
    except Exception as fault:  # the packages' own exceptions share no other class
        line = " ".join(str(fault).split()) or type(fault).__name__
        line = (
            line if len(line) <= SHOWN else f"…{line[-SHOWN:]}"
        )  # the reason comes last, after places in their source
        raise BiosegError(f"{name} cannot open its network ({line}); install a newer {PACKAGES[name]}") from None


def fastest(network: bytes, batch: Batch) -> str:
    """The fastest backend that is installed, measured once per machine and kept in the cache folder.

    Args:
        network: ONNX, to measure with.
        batch: Images it is measured on, [N, channels, rows, cols].

    Raises:
        BiosegError: None is installed.
    """
    names = installed()
    if not names:
        raise BiosegError("model files need onnxruntime or openvino; pip install 'bioseg[onnx]'")
    if len(names) == 1:
        return names[0]
    known = measured()
    if not known:
        known = {name: _milliseconds(build(name, network), batch) for name in names}
        with suppress(BiosegError):  # a folder that cannot be written costs a second the next time
            files.write_json(_path(), {**_remembered(), _machine(): known})
    return min(known, key=lambda name: known[name])


def measured() -> dict[str, float]:
    """Milliseconds per image by backend, of the measurement on this machine; empty where there was none."""
    known = _remembered().get(_machine())
    if not isinstance(known, dict) or set(known) != set(installed()):
        return {}
    return known if all(type(value) in (int, float) for value in known.values()) else {}


def _milliseconds(backend: Backend, batch: Batch) -> float:
    """The best of a few runs after one to warm up."""
    backend(batch)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        backend(batch)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.min(times)) / len(batch)


def _remembered() -> dict[str, Any]:
    try:
        known = files.read_json(_path(), "measure again")
    except BiosegError:
        return {}
    return known if isinstance(known, dict) else {}


def _path() -> Path:
    return cache.root().parent / "backends.json"


def _machine() -> str:
    """What a measurement holds for: processor, cores, threads, and versions of the packages."""
    versions = [f"{package} {metadata.version(package)}" for name, package in PACKAGES.items() if name in installed()]
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return ", ".join([platform.node(), platform.machine(), f"{os.cpu_count()} cores", f"{threads} threads", *versions])
