"""Pretrained models: what they are, and how a run becomes one."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from bioseg import files
from bioseg.inference import pretrained
from bioseg.pipelines.known_images import image_hashes
from bioseg.pipelines.open import WEIGHTS
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.applicability import Applicability
from bioseg.quality.model import QualityModel
from bioseg.record import APPLICABILITY, POSTPROCESS, QUALITY, RECORD, encode, read_record, read_spec
from bioseg.reports.run_folder import read_summary
from bioseg.types import BiosegError

LIMIT = 12_000_000
"""Bytes of weights that a pretrained model may have."""
PRIVATE = ("parts", "images", "command", "config", "git_commit")
"""Fields of a run's record that a pretrained model leaves out: ids of patients, and paths."""


def describe_models() -> list[dict[str, Any]]:
    """Name, task, scores on its test set, size and model card of every pretrained model."""
    rows = []
    for name in pretrained.names():
        folder = pretrained.ROOT / name
        record, summary = read_record(folder), read_summary(folder / "summary.json")
        rows.append(
            {
                "name": name,
                "task": record["recipe"]["task"],
                "dice": summary["dice"]["mean"],
                "ci95": summary["dice"]["ci95"],
                **({"ap": summary["ap"]["mean"]} if "ap" in summary else {}),
                "evaluated_on": f"{summary['cases']} images of {summary['patients']} patients, {record['data']}",
                "megabytes": round((folder / WEIGHTS).stat().st_size / 1e6, 1),
                "card": str((folder / "card.md").resolve()),
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
    if record.get("code"):
        raise BiosegError(
            f"{run}: names code that is not bioseg's ({', '.join(record['code'])}); a pretrained model may not"
        )
    tensors = load(files.read_bytes(run / WEIGHTS, "finish the training with `bioseg train … --resume`"))
    half = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    if not all(torch.isfinite(value).all() for value in half.values()):
        raise BiosegError(f"{run}: a weight is too large for half precision; train with weight decay")
    data = save(half)
    if len(data) > LIMIT:
        raise BiosegError(f"{run}: {len(data) / 1e6:.1f} MB of weights; at most {LIMIT / 1e6:.0f} are pretrained")
    folder = root / name
    evaluated = run / "test" if (run / "test" / "summary.json").exists() else run
    known = {key: value for key, value in record.items() if key not in PRIVATE}
    digest = hashlib.sha256(data).hexdigest()
    hashes = image_hashes(record)
    files.write_json(folder / RECORD, {**known, "name": name, "weights_sha256": digest, "image_hashes": hashes})
    files.write(folder / WEIGHTS, data)
    files.write(folder / "summary.json", (evaluated / "summary.json").read_bytes())
    files.write(folder / "card.md", card)
    for extra, kind in ((POSTPROCESS, Postprocess), (QUALITY, QualityModel), (APPLICABILITY, Applicability)):
        if spec := read_spec(run, extra, kind):
            files.write_json(folder / extra, encode(spec))
    return folder
