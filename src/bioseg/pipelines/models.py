"""Models that come with bioseg: what they are, and how a run becomes one."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from bioseg import files
from bioseg.inference import pretrained
from bioseg.record import POSTPROCESS, QUALITY, read_record
from bioseg.types import BiosegError

LIMIT = 12_000_000
"""Bytes of weights that a pretrained model may have."""


def describe_models() -> list[dict[str, Any]]:
    """Name, task, scores on its test part, size and limits of every pretrained model."""
    rows = []
    for name in pretrained.names():
        folder = pretrained.ROOT / name
        record, summary = read_record(folder), files.read_json(folder / "summary.json", "install bioseg again")
        dice = summary["dice"]
        rows.append(
            {
                "name": name,
                "task": record["recipe"]["task"],
                "dice": dice["mean"],
                "ci95": dice["ci95"],
                "evaluated_on": f"{summary['cases']} images of {summary['patients']} patients, {record['data']}",
                "megabytes": round((folder / "best.safetensors").stat().st_size / 1e6, 1),
                "card": str(folder / "card.md"),
            }
        )
    return rows


def package(run: Path, name: str, card: str, *, root: Path = pretrained.ROOT) -> Path:
    """Turn a run without folds into a model that is opened by name: half precision, checksum, card.

    Args:
        run: As ``bioseg train`` wrote it.
        name: Of the model.
        card: Its model card, Markdown; data and terms, split, scores, limits.
        root: Where pretrained models lie.

    Returns:
        The model's folder.

    Raises:
        BiosegError: The run has folds, or its weights are too large.
    """
    record = read_record(run)
    if record.get("folds"):
        raise BiosegError(
            f"{run}: has {record['folds']} folds; a pretrained model is one network, train without --folds"
        )
    tensors = load((run / "best.safetensors").read_bytes())
    half = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    if not all(torch.isfinite(value).all() for value in half.values()):
        raise BiosegError(f"{run}: a weight is too large for half precision; train with weight decay")
    data = save(half)
    if len(data) > LIMIT:
        raise BiosegError(f"{run}: {len(data) / 1e6:.1f} MB of weights; at most {LIMIT / 1e6:.0f} are pretrained")
    folder = root / name
    evaluated = run / "test" if (run / "test" / "summary.json").exists() else run
    record = {key: value for key, value in record.items() if key not in ("parts", "command", "git_commit")}
    files.write_json(
        folder / "record.json", {**record, "name": name, "weights_sha256": hashlib.sha256(data).hexdigest()}
    )
    files.write(folder / "best.safetensors", data)
    files.write(folder / "summary.json", (evaluated / "summary.json").read_bytes())
    files.write(folder / "card.md", card)
    for extra in (POSTPROCESS, QUALITY):
        if (run / extra).exists():
            shutil.copy(run / extra, folder / extra)
    return folder
