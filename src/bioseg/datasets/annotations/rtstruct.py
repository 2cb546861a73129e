"""DICOM RT Structure Set: contours in the patient's coordinates."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioseg.datasets.annotations import dicom, drawing, shared
from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Points, Unusable, class_name

OUT_OF_PLANE_MM = 0.1
"""A contour without an image belongs to the image whose plane it lies in, this far off at most."""


@dataclass(frozen=True, eq=False)
class _Contour:
    """A contour of one region: [vertices, 3] in mm, and the images that it refers to."""

    region: int
    kind: str
    vertices: Points
    images: frozenset[str]


@dataclass(frozen=True, eq=False)
class _Object:
    names: dict[int, str]
    contours: list[_Contour]
    images: frozenset[str]


def images_of(path: Path) -> frozenset[str]:
    """SOP Instance UIDs of all images that a file refers to; empty where it cannot be read."""
    return shared.images_of(path, _parse)


def read(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The regions with contours in ``image``, in the file's order; none where it refers to the image, but has none there.

    Contours of one region in one image are filled by the even-odd rule, so that an inner one is a hole.

    Raises:
        Unusable: It is damaged, refers to other images only, or has a contour without area.
    """
    here, found = dicom.plane(image), shared.understood(path, _parse)
    own = [contour for contour in found.contours if _lies_in(contour, here)]
    if not own:
        if here.uid in found.images:
            return []
        raise Unusable(f"refers to {len(found.images)} other images, not to {image.name}; put it beside its own images")
    rings: dict[int, list[Points]] = {}
    for contour in own:
        name = found.names.get(contour.region, "")
        if not contour.kind.startswith("CLOSED"):
            raise Unusable(
                f"region {name!r}: {contour.kind[:20]!r} has no area; draw it as a closed contour, or remove it"
            )
        try:
            rings.setdefault(contour.region, []).append(drawing.points(_to_pixels(contour.vertices, here).tolist()))
        except Unusable as fault:
            raise Unusable(f"region {name!r}: {fault}") from None
    return [drawing.polygons(found.names.get(region, ""), [every], shape) for region, every in rings.items()]


def _to_pixels(vertices: Points, here: dicom.Plane) -> Points:
    """(x, y) in px from the top left corner; the centre of the first pixel, at the image's position, is at (.5, .5)."""
    if here.position is None or here.along is None:
        raise Unusable("its image does not say where it lies in the patient; export the image again")
    lengths = (here.along**2).sum(axis=1)
    if not (lengths > 0).all():
        raise Unusable("its image has no orientation; export the image again")
    return np.asarray((vertices - here.position) @ here.along.T / lengths + 0.5)


def _lies_in(contour: _Contour, here: dicom.Plane) -> bool:
    if contour.images:
        return here.uid in contour.images
    if here.position is None or here.along is None or not len(contour.vertices):
        return False
    normal = np.cross(*here.along)
    length = float(np.linalg.norm(normal))
    return length > 0 and float(np.abs((contour.vertices - here.position) @ normal).max()) / length <= OUT_OF_PLANE_MM


def _parse(path: Path) -> _Object:
    whole = dicom.open_object(path)
    try:
        names = {int(one.ROINumber): class_name(one.get("ROIName", "")) for one in whole.StructureSetROISequence}
        contours = []
        for region in dicom.sequence(whole, "ROIContourSequence"):
            for one in dicom.sequence(region, "ContourSequence"):
                values = dicom.numbers(one, "ContourData")
                if values is None or len(values) % 3:
                    raise ValueError(f"a contour of region {region.ReferencedROINumber} is no list of points")
                images = {str(ref.ReferencedSOPInstanceUID) for ref in dicom.sequence(one, "ContourImageSequence")}
                kind = str(one.get("ContourGeometricType", ""))
                number = int(region.ReferencedROINumber)
                contours.append(_Contour(number, kind, values.reshape(-1, 3), frozenset(images)))
        return _Object(names, contours, frozenset(dicom.referenced(whole)))
    except Exception as fault:  # pydicom may raise anything for a value that is not of its type
        raise Unusable(f"damaged or of another version ({str(fault)[:80]}); {AGAIN}") from None
