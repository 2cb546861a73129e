"""Learn anew what a finished model is meant for."""

import hashlib
from dataclasses import replace
from pathlib import Path

from bioseg import files
from bioseg.datasets.folders import read_dataset
from bioseg.inference import pretrained
from bioseg.pipelines.evaluate import seen_cases
from bioseg.pipelines.open import open_predictor
from bioseg.quality.applicability import Applicability
from bioseg.quality.fit_applicability import fit_applicability
from bioseg.record import APPLICABILITY, RECORD, encode, read_record, read_spec
from bioseg.types import BiosegError


def renew_applicability(model: Path | str, data: Path, *, device: str = "auto") -> Applicability:
    """Write ``applicability.json`` of a finished run or pretrained model anew, or for the first time.

    Modalities, body parts and views that it names already are kept: they may have been written by hand.

    Args:
        model: A run folder, or the name of a pretrained model.
        data: The folder it was trained on.
        device: Where to compute.

    Raises:
        BiosegError: ``model`` is none, or ``data`` holds no case that it was trained on.
    """
    folder = pretrained.find(model)
    known = read_spec(folder, APPLICABILITY, Applicability)
    predictor = open_predictor(model, device)
    scan = read_dataset(data, predictor.recipe.layout)
    seen = seen_cases(folder, scan) or {}
    train, validation = ([case for case in scan.cases if seen.get(case.id) == part] for part in ("train", "validation"))
    if not train:
        raise BiosegError(f"{data}: holds no case that {model} was trained on; give the folder it was trained on")
    found = fit_applicability(predictor, train, validation)
    if known:
        found = replace(found, modalities=known.modalities, body_parts=known.body_parts, views=known.views)
    files.write_json(folder / APPLICABILITY, encode(found))
    record = read_record(folder)
    if "weights_sha256" in record:
        digest = hashlib.sha256((folder / APPLICABILITY).read_bytes()).hexdigest()
        files.write_json(folder / RECORD, {**record, "applicability_sha256": digest})
    return found
