"""Outline things in files and folders: one mask a picture and a table of measurements."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from skimage.measure import label

from bioseg import files
from bioseg.data import folders, pixels
from bioseg.inference.postprocess import Prediction
from bioseg.inference.predictor import Predictor
from bioseg.types import BiosegError, Problem

COLUMNS = ("file", "mask", "rows", "cols", "area_px", "area_mm2", "components", "mean_probability")


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """The files among ``paths`` and, sorted, the pictures in the folders among them, without masks that lie there too.

    Raises:
        BiosegError: A path does not exist, or none holds a picture.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            account = folders.pair(path)
            found += sorted([*(case.picture for case in account.cases), *account.without_mask])
        elif path.exists():
            found.append(path)
        else:
            raise BiosegError(f"{path}: no such file or folder")
    if not found:
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no picture found; bioseg reads {' '.join(sorted(pixels.SUFFIXES))}"
        )
    return list(dict.fromkeys(found))


def predict(
    predictor: Predictor, pictures: Sequence[Path], out: Path, *, probabilities: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png`` (0/255) for every picture and ``measurements.csv``; one bad picture stops no other.

    Args:
        predictor: The model.
        pictures: Files.
        out: Folder; pictures of the same stem get their folder's name in front.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        progress: Told (done, total).

    Returns:
        How many were outlined, and the others with the reason.

    Raises:
        BiosegError: A mask would overwrite a picture it is made from.
    """
    names = _names(pictures)
    clash = {path.resolve() for path in pictures} & {(out / f"{name}.png").resolve() for name in names}
    if clash:
        raise BiosegError(f"{min(clash)}: would be overwritten by its mask; choose another --out")
    rows: list[dict[str, object]] = []
    problems: list[Problem] = []
    for done, (path, name) in enumerate(zip(pictures, names, strict=True), 1):
        try:
            stored = pixels.read(path)
            prediction = predictor.predict(stored)
            pixels.write_mask(out / f"{name}.png", prediction.mask)
            if probabilities:
                pixels.write_probability(out / f"{name}.probability.png", prediction.probability)
            rows.append({"file": str(path), "mask": f"{name}.png", **measure(prediction, stored.spacing_mm)})
        except BiosegError as fault:
            problems.append(Problem(path, str(fault)))
        progress(done, len(pictures))
    if rows:
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write(out / "measurements.csv", table.getvalue())
    return len(rows), problems


def measure(prediction: Prediction, spacing_mm: tuple[float, float] | None) -> dict[str, object]:
    """Size, area in px and, where spacing is known, mm², 8-connected components, mean probability inside the mask."""
    mask = prediction.mask
    area = int(mask.sum())
    return {
        "rows": mask.shape[0],
        "cols": mask.shape[1],
        "area_px": area,
        "area_mm2": round(area * spacing_mm[0] * spacing_mm[1], 3) if spacing_mm else "",
        "components": int(label(mask).max()),
        "mean_probability": round(float(np.mean(prediction.probability[mask])), 4) if area else "",
    }


def _names(pictures: Sequence[Path]) -> list[str]:
    """One name a picture: its stem, with its folder's name in front where stems repeat, and a number at last."""
    stems = [path.stem for path in pictures]
    names: list[str] = []
    for path, stem in zip(pictures, stems, strict=True):
        name = stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}"
        same = sum(
            other == name or (other.startswith(f"{name}_") and other[len(name) + 1 :].isdigit()) for other in names
        )
        names.append(f"{name}_{same + 1}" if same else name)
    return names
