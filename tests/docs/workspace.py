"""The folder in which the snippets of the docs run: phantoms under every name that a page uses, and one small trained run."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

import bioseg
from bioseg import files
from bioseg.datasets import phantom_layouts, phantoms

TINY = ("training.epochs=1", "preparation.size_px=[64,64]", "training.batch_size=4")


def write_data(root: Path) -> None:
    """Every data set and file that README and docs name."""
    for seed, name in enumerate(("my-images", "other-hospital", "my-annotated")):
        phantom_layouts.write_images_masks(root / name, count=8, seed=seed)
    for name, count in (("new-images", 3), ("x-rays", 3)):
        phantom_layouts.write_images_masks(root / name, count=count, seed=9, masks=False)
    phantom_layouts.write_label_images(root / "my-organs", count=8, size_px=64)
    phantom_layouts.write_nuclei(root / "stage1_train", count=10, size_px=64)
    phantom_layouts.write_montgomery(root / "MontgomerySet", count=10, size_px=64)
    phantom_layouts.write_jsrt(root / "JSRT", count=8, size_px=2048)
    phantom_layouts.write_shenzhen(root / "ShenzhenSet", count=4, size_px=64)
    phantom_layouts.write_cardiac_lv(root / "lv_deeplearning", count=4, size_px=64)
    phantom_layouts.write_rsna(root / "rsna", count=8, size_px=128)
    rng = np.random.default_rng(0)
    short_axis, _ = phantoms.short_axis(rng, 96)
    files.write(root / "short-axis" / "slice.dcm", phantom_layouts.dicom_bytes(short_axis, spacing_mm=(1.4, 1.4)))
    hounsfield, _ = phantoms.ct_slice(rng, 96)
    stored = (hounsfield.astype(np.int32) + 1024).astype(np.uint16)
    files.write(root / "slices" / "slice.dcm", phantom_layouts.dicom_bytes(stored, intercept=-1024.0))
    write_volumes(root)
    cells, _ = phantoms.nuclei(rng, 96)
    Image.fromarray(cells).save(root / "cells.png")
    (root / "wells").mkdir()
    shutil.copy(root / "cells.png", root / "wells" / "a1.png")


def write_volumes(root: Path) -> None:
    """``scan.nii.gz``, five CT slices; ``volumes``, two small ones with masks."""
    rng = np.random.default_rng(1)
    slices = np.stack([phantoms.ct_slice(rng, 64)[0].T for _ in range(5)], axis=-1).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(slices, np.diag([-0.7, -0.7, 5, 1])), root / "scan.nii.gz")
    for name in ("a", "b"):
        for suffix, values in (("", slices[:16, :16]), ("_seg", (slices[:16, :16] > -500).astype(np.uint8))):
            (root / "volumes").mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / "volumes" / f"{name}{suffix}.nii.gz")


def write_run(root: Path, data: Path) -> None:
    """A model trained for one epoch, in the place of ``runs/mine`` and the like."""
    bioseg.train("auto", data, root, settings=TINY, device="cpu")


def link_all(source: Path, target: Path) -> None:
    """Every file and folder of ``source`` under the same name in ``target``, not copied."""
    for path in source.iterdir():
        os.symlink(path, target / path.name)
