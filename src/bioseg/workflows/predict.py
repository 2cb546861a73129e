"""Outline things in files and folders: one mask a picture and a table of measurements."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from skimage.measure import label, regionprops

from bioseg import files
from bioseg.data import folders, pixels
from bioseg.data.pixels import Stored
from bioseg.inference.postprocess import Prediction
from bioseg.inference.predictor import Predictor
from bioseg.types import BiosegError, Box, Labels, Problem

OBJECT_COLUMNS = (
    "file", "object", "area_px", "area_mm2", "centroid_row", "centroid_col", "left", "top", "width", "height",
    "mean_intensity", "eccentricity",
)  # fmt: skip
COLUMNS = (
    "file", "mask", "rows", "cols", "area_px", "area_mm2", "components", "mean_probability", "quality", "flag",
)  # fmt: skip


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
    progress: Callable[[int, int], None] = lambda done, total: None, say: Callable[[str], None] = lambda line: None,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png`` (0/255) for every picture and ``measurements.csv``; one bad picture stops no other.

    A model that tells objects apart writes ``<stem>.labels.png`` (16 bit, a number an object) and ``objects.csv`` too,
    one that draws boxes ``submission.csv``, as the RSNA challenge wants it.

    Args:
        predictor: The model.
        pictures: Files.
        out: Folder; pictures of the same stem get their folder's name in front.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        progress: Told (done, total).
        say: Hears how many are flagged, where the model can tell.

    Returns:
        How many were outlined, and the others with the reason.

    Raises:
        BiosegError: A mask would overwrite a picture it is made from.
    """
    names = name_outputs(pictures, out)
    rows: list[dict[str, object]] = []
    objects: list[dict[str, object]] = []
    boxes: list[dict[str, object]] = []
    problems: list[Problem] = []
    for done, (path, name) in enumerate(zip(pictures, names, strict=True), 1):
        try:
            stored = pixels.read(path)
            prediction = predictor.predict(stored)
            pixels.write_mask(out / f"{name}.png", prediction.mask)
            if probabilities:
                pixels.write_probability(out / f"{name}.probability.png", prediction.probability)
            if prediction.labels is not None:
                pixels.write_labels(out / f"{name}.labels.png", prediction.labels)
                objects += [{"file": str(path), **row} for row in measure_objects(prediction.labels, stored)]
            if prediction.boxes is not None:
                boxes.append({"patientId": name, "PredictionString": prediction_string(prediction.boxes)})
            rows.append({"file": str(path), "mask": f"{name}.png", **measure(prediction, stored.spacing_mm)})
        except BiosegError as fault:
            problems.append(Problem(path, str(fault)))
        progress(done, len(pictures))
    if predictor.quality:
        flagged = sum(bool(row["flag"]) for row in rows)
        say(f"{flagged} of {len(rows)} flagged: a person should look at them; why stands in {out / 'measurements.csv'}")
    how = predictor.recipe.postprocess
    for wanted, file, columns, lines in (
        (rows, "measurements.csv", COLUMNS, rows),
        (how.instances, "objects.csv", OBJECT_COLUMNS, objects),
        (how.boxes, "submission.csv", ("patientId", "PredictionString"), boxes),
    ):
        if wanted:
            _write_table(out / file, columns, lines)
    return len(rows), problems


def measure(prediction: Prediction, spacing_mm: tuple[float, float] | None) -> dict[str, object]:
    """Size, area in px and, where spacing is known, mm², 8-connected components, mean probability inside the mask.

    Where the model can tell, also how far to trust it: ``quality`` in [0, 1] and ``flag``, the reasons for a second look.
    """
    mask, quality = prediction.mask, prediction.quality
    area = int(mask.sum())
    return {
        "rows": mask.shape[0],
        "cols": mask.shape[1],
        "area_px": area,
        "area_mm2": round(area * spacing_mm[0] * spacing_mm[1], 3) if spacing_mm else "",
        "components": int(label(mask).max()),
        "mean_probability": round(float(np.mean(prediction.probability[mask])), 4) if area else "",
        "quality": round(quality.score, 4) if quality else "",
        "flag": "; ".join(quality.reasons) if quality else "",
    }


def measure_objects(labels: Labels, stored: Stored) -> list[dict[str, object]]:
    """One row an object: number, area, centroid, bounding box, mean intensity as stored (grey), eccentricity.

    The box is ``left, top, width, height`` in px; eccentricity runs from 0 (a circle) to 1 (a line).
    """
    grey = stored.pixels[..., :3].mean(axis=-1) if stored.pixels.ndim == 3 else stored.pixels
    grey = grey * np.float32(stored.slope) + np.float32(stored.intercept)
    scale = stored.spacing_mm[0] * stored.spacing_mm[1] if stored.spacing_mm else None
    rows: list[dict[str, object]] = []
    for part in regionprops(labels, grey):
        top, left, bottom, right = part.bbox
        values = (
            part.label, int(part.area), round(part.area * scale, 4) if scale else "",
            round(part.centroid[0], 2), round(part.centroid[1], 2), left, top, right - left, bottom - top,
            round(float(part.intensity_mean), 3), round(float(part.eccentricity), 4),
        )  # fmt: skip
        rows.append(dict(zip(OBJECT_COLUMNS[1:], values, strict=True)))
    return rows


def prediction_string(boxes: Sequence[Box]) -> str:
    """``confidence x y width height`` of every box, surest first, all parted by blanks; empty without boxes."""
    return " ".join(f"{b.confidence:.4f} {b.x:.1f} {b.y:.1f} {b.width:.1f} {b.height:.1f}" for b in boxes)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(path, table.getvalue())


def name_outputs(pictures: Sequence[Path], out: Path) -> list[str]:
    """One name a picture: its stem, with its folder's name in front where stems repeat, and a number at last.

    Raises:
        BiosegError: A ``<name>.png`` in ``out`` would overwrite one of the pictures.
    """
    stems = [path.stem for path in pictures]
    names: list[str] = []
    for path, stem in zip(pictures, stems, strict=True):
        name = stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}"
        same = sum(
            other == name or (other.startswith(f"{name}_") and other[len(name) + 1 :].isdigit()) for other in names
        )
        names.append(f"{name}_{same + 1}" if same else name)
    clash = {path.resolve() for path in pictures} & {(out / f"{name}.png").resolve() for name in names}
    if clash:
        raise BiosegError(f"{min(clash)}: would be overwritten by what is made from it; choose another --out")
    return names
