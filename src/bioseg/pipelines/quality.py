"""Fit the quality model of a finished run anew."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.datasets.folders import read_dataset
from bioseg.datasets.samples import load
from bioseg.pipelines.open import fold_folders, open_predictor
from bioseg.quality.fit import fit_quality
from bioseg.record import QUALITY, encode, read_record
from bioseg.specs import Call, call


def renew_quality(run: Path, data: Path, *, how: Call[Any] | None = None, device: str = "auto") -> None:
    """Write ``quality_model.json`` of a finished run anew, or for the first time.

    Args:
        run: As ``bioseg train`` wrote it.
        data: The folder it was trained on.
        how: As :attr:`bioseg.recipe.SegmentationRecipe.quality`; by default the recipe's, else the usual.
        device: Where to compute.

    Raises:
        BiosegError: ``run`` is no run, or ``data`` holds no case at all.
    """
    predictor = open_predictor(run, device)
    how = how or predictor.recipe.quality or call(fit_quality)
    record = read_record(run)
    cases = {case.id: case for case in read_dataset(data, predictor.recipe.layout, predictor.recipe.reader).cases}
    for folder in dict.fromkeys((run, *fold_folders(run, record))):
        own = predictor if folder == run else open_predictor(folder, device)
        parts = read_record(fold_folders(run, record)[0] if folder == run else folder).get("parts", {})
        train, validation = (
            load([cases[name] for name in parts.get(part, ()) if name in cases], own.recipe.preparation)
            for part in ("train", "validation")
        )
        files.write_json(folder / QUALITY, encode(how(replace(own, quality=None), train, validation)))
