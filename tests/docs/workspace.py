"""The folder in which the snippets of the docs run: phantoms under every name that a page uses, and one small trained run."""

import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image

import bioseg
from bioseg import files
from bioseg.datasets import phantom_layouts, phantoms
from tests.clinic_folder import write_clinic

TINY = ("training.epochs=1", "preparation.size_px=[64,64]", "training.batch_size=4")


def write_data(root: Path) -> None:
    """Every data set and file that README and docs name."""
    for seed, name in enumerate(("my-images", "other-hospital", "my-annotated")):
        phantom_layouts.write_images_masks(root / name, count=8, seed=seed)
    write_labelme(root / "my-labelme")
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
    write_clinic(root / "archive")
    cells, _ = phantoms.nuclei(rng, 96)
    Image.fromarray(cells).save(root / "cells.png")
    for name, masks in (("scans", True), ("new-scans", False)):
        (root / name).mkdir()
        for letter in "abcdefgh" if masks else "a":
            image, mask = phantoms.ct_slice(rng, 64)
            np.save(root / name / f"{letter}.image.npy", image)
            if masks:
                np.save(root / name / f"{letter}.mask.npy", mask)
    write_stains(root / "stains")
    write_plates(root / "plates")
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


def write_stains(root: Path) -> None:
    """OME-TIFFs of two channels, with masks of the first."""
    rng = np.random.default_rng(1)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(2):
        cells, labels = phantoms.nuclei(rng, 96)
        stack = np.stack([cells[..., 0], cells[::-1, :, 0]])
        facts = {"axes": "CYX", "PhysicalSizeX": 0.325, "PhysicalSizeY": 0.325, "Channel": {"Name": ["DAPI", "actin"]}}
        path = root / "images" / f"well_{number}.ome.tif"
        tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata=facts)
        Image.fromarray(labels > 0).save(root / "masks" / f"well_{number}.ome.png")


def write_plates(root: Path) -> None:
    """OME-TIFFs of four channels, label images of three classes of cells, and ``classes.csv``."""
    rng = np.random.default_rng(2)
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for number in range(6):
        cells, objects = phantoms.nuclei(rng, 64)
        labels = np.where(objects > 0, 1 + objects % 3, 0).astype(np.uint8)
        grey = cells[..., 0].astype(float)
        stack = np.stack(
            [grey, *(np.where(labels == value, 200, 20) + rng.normal(0, 9, labels.shape) for value in (1, 2, 3))]
        )
        facts = {"axes": "CYX", "Channel": {"Name": ["DAPI", "A", "B", "C"]}}
        path, pixels = root / "images" / f"plate-{number}.ome.tif", stack.clip(0, 255).astype(np.uint8)
        tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=facts)
        Image.fromarray(labels).save(root / "labels" / f"plate-{number}.ome.png")
    files.write_csv(root / "classes.csv", ("name", "value"), [("live", 1), ("dividing", 2), ("dead", 3)])


def write_labelme(folder: Path) -> None:
    """Eight images with a rectangle and a circle each."""
    phantom_layouts.write_images_masks(folder / "images", count=8, masks=False)
    for number, image in enumerate(sorted((folder / "images").rglob("*.png"))):
        shapes = [
            {"label": "cell", "shape_type": "rectangle", "points": [[5, 5 + number], [20, 30]]},
            {"label": "cell", "shape_type": "circle", "points": [[45, 40], [45, 50 + number % 3]]},
        ]
        shutil.copy(image, folder / f"case-{number:03d}.png")
        files.write_json(folder / f"case-{number:03d}.json", {"version": "5.5.0", "shapes": shapes, "imageData": None})
    shutil.rmtree(folder / "images")


def write_run(root: Path, data: Path) -> None:
    """A model trained for one epoch, in the place of ``runs/mine`` and the like."""
    bioseg.train("auto", data, root, settings=TINY, device="cpu")


def link_all(source: Path, target: Path) -> None:
    """Every file and folder of ``source`` under the same name in ``target``, not copied."""
    for path in source.iterdir():
        os.symlink(path, target / path.name)
