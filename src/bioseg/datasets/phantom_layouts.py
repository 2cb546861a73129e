"""Phantoms written as the public sets lie on disk; ``count`` cases, the same for the same ``seed``."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from bioseg import files
from bioseg.datasets import phantoms
from bioseg.types import Array, Mask


def write_nuclei(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """Data Science Bowl 2018: ``<id>/images/<id>.png``, some RGBA, and one mask a nucleus."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        name = f"{rng.integers(16**8):08x}{index:08x}"
        colours, labels = phantoms.nuclei(rng, size_px)
        if index % 3 == 0:
            colours = np.dstack([colours, np.full(labels.shape, 255, np.uint8)])
        _write(folder / name / "images" / f"{name}.png", colours)
        for number in range(1, labels.max() + 1):
            _write_mask(folder / name / "masks" / f"{name}-{number:03d}.png", labels == number)


def write_montgomery(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``CXR_png/MCUCXR_NNNN_L.png`` and its lungs in ``ManualMask/leftMask`` and ``rightMask``; not square."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        shape = (size_px, size_px * 5 // 4) if index % 2 else (size_px * 5 // 4, size_px)
        values, image_left, image_right = phantoms.chest(rng, shape)
        name = f"MCUCXR_{index + 1:04d}_{index % 2}.png"
        _write(folder / "CXR_png" / name, _bytes(values))
        _write_mask(folder / "ManualMask" / "leftMask" / name, image_right)
        _write_mask(folder / "ManualMask" / "rightMask" / name, image_left)


def write_jsrt(folder: Path, *, count: int, seed: int = 0, size_px: int = 2048) -> None:
    """Headerless ``JPCLN*.IMG``, 12 bits in big-endian 16, inverted; lungs as GIF of half the size."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        coarse = max(1, size_px // 256)
        drawn, left, right = phantoms.chest(rng, (size_px // coarse, size_px // coarse))
        values = drawn.repeat(coarse, axis=0).repeat(coarse, axis=1)
        name = f"JPC{'LN' if index % 2 else 'NN'}{index + 1:03d}"
        files.write(folder / f"{name}.IMG", (4095 - values * 4095).astype(">u2").tobytes())
        for part, mask in (("left lung", right), ("right lung", left)):
            half = max(1, coarse // 2)
            _write_mask(folder / "masks" / part / f"{name}.gif", mask.repeat(half, axis=0).repeat(half, axis=1))


def write_organs(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``JSRT/images/JPCLN*.png`` with a folder of masks for each lung and the heart."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        values, image_left, image_right = phantoms.chest(rng, (size_px, size_px))
        r, c = np.mgrid[0:size_px, 0:size_px] / size_px
        heart = (((r - 0.62) / 0.16) ** 2 + ((c - 0.55) / 0.14) ** 2 < 1) & ~(image_left | image_right)
        name = f"JPCLN{index + 1:03d}.png"
        _write(folder / "JSRT" / "images" / name, _bytes(np.where(heart, np.maximum(values, 0.75), values)))
        for part, mask in (("left_lung", image_right), ("right_lung", image_left), ("heart", heart)):
            _write_mask(folder / "JSRT" / "masks" / part / name, mask)


def write_label_images(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``images/X.png``, ``labels/X.png`` with the values 1 to 4, and ``classes.csv``, which names them."""
    for index in range(count):
        values, labels = phantoms.abdomen(np.random.default_rng((seed, index)), size_px)
        _write(folder / "images" / f"slice-{index:03d}.png", values)
        _write(folder / "labels" / f"slice-{index:03d}.png", labels.astype(np.uint8))
    files.write_csv(folder / "classes.csv", ("name", "value"), [(one, k) for k, one in enumerate(phantoms.ABDOMEN, 1)])


def write_nnunet(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``imagesTr/X_0000.png``, ``labelsTr/X.png`` and ``dataset.json``."""
    for index in range(count):
        values, labels = phantoms.abdomen(np.random.default_rng((seed, index)), size_px)
        _write(folder / "imagesTr" / f"slice_{index:03d}_0000.png", values)
        _write(folder / "labelsTr" / f"slice_{index:03d}.png", labels.astype(np.uint8))
    names = {"background": 0} | {name: value for value, name in enumerate(phantoms.ABDOMEN, 1)}
    about = {"channel_names": {"0": "CT"}, "labels": names, "numTraining": count, "file_ending": ".png"}
    files.write_json(folder / "dataset.json", about)


def write_shenzhen(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``CXR_png/CHNCXR_NNNN_L.png`` and ``mask/CHNCXR_NNNN_L_mask.png``."""
    for index in range(count):
        values, left, right = phantoms.chest(np.random.default_rng((seed, index)), (size_px, size_px * 9 // 10))
        name = f"CHNCXR_{index + 1:04d}_{index % 2}"
        _write(folder / "CXR_png" / f"{name}.png", _bytes(values))
        _write_mask(folder / "mask" / f"{name}_mask.png", left | right)


def write_chest_xrays(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``MontgomerySet`` and ``ShenzhenSet`` in one folder, half of the images each."""
    write_montgomery(folder / "MontgomerySet", count=count // 2, seed=seed, size_px=size_px)
    write_shenzhen(folder / "ShenzhenSet", count=count - count // 2, seed=seed + 1, size_px=size_px)


def write_belarus(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``images/<n>.png``, dark and flat, and ``masks/<n>.png``."""
    for index in range(count):
        values, left, right = phantoms.chest(np.random.default_rng((seed, index)), (size_px, size_px))
        _write(folder / "images" / f"{index + 1}.png", _bytes(0.05 + 0.4 * values))
        _write_mask(folder / "masks" / f"{index + 1}.png", left | right)


def write_ct_lungs(folder: Path, *, count: int, seed: int = 0, size_px: int = 128) -> None:
    """``2d_images/ID_NNNN_Z_NNNN.tif`` in Hounsfield units and ``2d_masks/`` of the same names; two slices a patient."""
    import tifffile

    for index in range(count):
        values, lungs = phantoms.ct_slice(np.random.default_rng((seed, index)), size_px)
        name = f"ID_{index // 2:04d}_Z_{50 + index:04d}.tif"
        for part, pixels in (("2d_images", values), ("2d_masks", lungs.astype(np.uint8) * 255)):
            data = io.BytesIO()
            tifffile.imwrite(data, pixels)
            files.write(folder / part / name, data.getvalue())


def write_cardiac_lv(folder: Path, *, count: int, seed: int = 0, size_px: int = 160) -> None:
    """``training/*.dcm`` with PNG labels of the same stem; a quarter as many in ``test/`` with labels in ``test/GT/``."""
    for index in range(count + max(1, count // 4)):
        values, pool = phantoms.short_axis(np.random.default_rng((seed, index)), size_px)
        test, patient = index >= count, index // 10
        name = f"P{patient:03d}-{index:04d}"
        part = folder / ("test" if test else "training")
        files.write(part / f"{name}.dcm", dicom_bytes(values, spacing_mm=(1.4, 1.4), patient=f"P{patient:03d}"))
        _write_mask(part / "GT" / f"{name}.png" if test else part / f"{name}.png", pool)


def write_rsna(folder: Path, *, count: int, seed: int = 0, size_px: int = 1024) -> None:
    """``stage_2_train_images/<patientId>.dcm``, JPEG baseline inside, and the table of boxes."""
    rows: list[Sequence[object]] = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        pixels, boxes = phantoms.pneumonia(rng, size_px)
        name = f"{rng.integers(16**8):08x}-{index:04d}"
        data = dicom_bytes(pixels, spacing_mm=(0.14, 0.14), patient=name, jpeg=True)
        files.write(folder / "stage_2_train_images" / f"{name}.dcm", data)
        rows += [(name, box.x, box.y, box.width, box.height, 1) for box in boxes] or [(name, "", "", "", "", 0)]
    files.write_csv(folder / "stage_2_train_labels.csv", ("patientId", "x", "y", "width", "height", "Target"), rows)


def write_sunnybrook(folder: Path, *, count: int, seed: int = 0, size_px: int = 160) -> None:
    """DICOM slices, inner and outer contours as text, and ``link.csv`` between the two names of a patient."""
    from skimage.measure import find_contours

    links = []
    for index in range(count):
        patient, number = index // 5 + 1, 20 * (index % 5) + 8
        values, pool = phantoms.short_axis(np.random.default_rng((seed, index)), size_px)
        dicom, contours = f"SCD{patient:04d}", f"SC-HF-I-{patient}"
        data = dicom_bytes(values, spacing_mm=(1.4, 1.4), patient=dicom)
        files.write(folder / "dicoms" / dicom / f"{number}.dcm", data)
        outer = ndimage.distance_transform_edt(~pool) < 0.5 * np.sqrt(pool.sum() / np.pi)
        for kind, mask in (("i", pool), ("o", outer)):
            line = max(find_contours(mask.astype(float), 0.5), key=len)
            text = "".join(f"{col:.2f} {row:.2f}\n" for row, col in line)
            place = folder / "contourfiles" / contours / f"{kind}-contours"
            files.write(place / f"IM-0001-{number:04d}-{kind}contour-manual.txt", text)
        links.append((dicom, contours))
    files.write_csv(folder / "link.csv", ("patient_id", "original_id"), list(dict.fromkeys(links)))


def write_images_masks(folder: Path, *, count: int, seed: int = 0, size_px: int = 64, masks: bool = True) -> None:
    """``images/X.png`` and ``masks/X.png``."""
    for index in range(count):
        values, left, right = phantoms.chest(np.random.default_rng((seed, index)), (size_px, size_px))
        _write(folder / "images" / f"case-{index:03d}.png", _bytes(values))
        if masks:
            _write_mask(folder / "masks" / f"case-{index:03d}.png", left | right)


def write_suffixes(folder: Path, *, count: int, seed: int = 0, size_px: int = 64) -> None:
    """``X.png`` beside ``X_mask.png``, masks 0/1 and saved as RGB."""
    for index in range(count):
        values, left, right = phantoms.chest(np.random.default_rng((seed, index)), (size_px, size_px))
        _write(folder / f"case-{index:03d}.png", _bytes(values))
        _write(folder / f"case-{index:03d}_mask.png", np.repeat((left | right).astype(np.uint8)[..., None], 3, axis=2))


def dicom_bytes(
    pixels: Array, *, spacing_mm: tuple[float, float] | None = None, patient: str = "", jpeg: bool = False,
    inverted: bool = False, slope: float = 1.0, intercept: float = 0.0,
) -> bytes:  # fmt: skip
    """A DICOM secondary capture of grey pixels [rows, cols], uint8 or uint16; with ``jpeg`` (uint8) as JPEG baseline."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient, str(pixels.sum())])
    out = io.BytesIO()
    header = FileDataset(out, {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    header.StudyInstanceUID, header.SeriesInstanceUID = (generate_uid(entropy_srcs=[kind, patient]) for kind in "ab")
    header.PatientID, header.Modality = patient, "OT"
    header.Rows, header.Columns = pixels.shape
    header.SamplesPerPixel, header.PixelRepresentation = 1, 0
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.HighBit = header.BitsStored - 1
    header.RescaleSlope, header.RescaleIntercept = slope, intercept
    if spacing_mm:
        header.PixelSpacing = list(spacing_mm)
    if jpeg:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=90)
        header.PixelData = encapsulate([data.getvalue()])
        header["PixelData"].VR = "OB"
    else:
        header.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        header["PixelData"].VR = "OW"
    header.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _bytes(values: Array) -> Array:
    return np.asarray((values * 255).round(), np.uint8)


def _write_mask(path: Path, mask: Mask) -> None:
    _write(path, mask.astype(np.uint8) * 255)


def _write(path: Path, pixels: Array) -> None:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, path.suffix[1:].upper())
    files.write(path, data.getvalue())
