"""Left ventricular volumes by slices, from the contours of the ground truth and from a model's masks.

``python -m benchmarks.ventricle_volumes DATA MODEL`` (Sunnybrook's DICOM files with their contours) prints a line for every
patient and phase, and the mean difference.
"""

import sys
from pathlib import Path

import numpy as np

from bioseg.datasets import cases as reading
from bioseg.datasets.layouts import cardiac_lv
from bioseg.images.formats import read
from bioseg.outputs.anatomy import measure_image
from bioseg.outputs.place import place_of
from bioseg.outputs.series import volumes
from bioseg.outputs.structures import LEFT_VENTRICLE
from bioseg.pipelines.open import open_predictor


def main() -> None:
    """Print volumes in ml."""
    model, rows = open_predictor(sys.argv[2]), {"contours": [], "model": []}
    for case in cardiac_lv.list_cases(Path(sys.argv[1])):
        raw_image = read(case.path)
        place = place_of(case.path, raw_image)
        masks = {
            "contours": reading.read_mask(case, raw_image.pixels.shape[:2]),
            "model": model.predict(raw_image).mask,
        }
        for name, mask in masks.items():
            measured = measure_image(LEFT_VENTRICLE, {LEFT_VENTRICLE.name: mask}, place)
            rows[name].append({"file": case.patient, **measured})
    found = {name: volumes(LEFT_VENTRICLE.name, one) for name, one in rows.items()}
    differences = []
    for truth, ours in zip(found["contours"], found["model"], strict=True):
        print(f"{truth['first_file']} phase {truth['phase']}: {truth['slices']} slices {truth['slice_spacing_mm']} mm apart, "
              f"contours {truth['volume_ml']} ml, model {ours['volume_ml']} ml {truth['reason']}")  # fmt: skip
        if truth["volume_ml"] != "":
            differences.append(float(ours["volume_ml"]) - float(truth["volume_ml"]))
    print(f"model - contours: {np.mean(differences):+.1f} ml, mean absolute {np.mean(np.abs(differences)):.1f} ml")


if __name__ == "__main__":
    main()
