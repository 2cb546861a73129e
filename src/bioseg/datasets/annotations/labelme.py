"""LabelMe: a JSON file per image, with polygons, rectangles, circles and masks."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from bioseg.datasets.annotations import drawing, json_file
from bioseg.datasets.annotations.annotation import Annotation, Unusable, check_size, class_name, of_mask, united
from bioseg.images import formats
from bioseg.types import BiosegError


def read(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The shapes in their order; those of one label and one ``group_id`` are one object. The embedded image is ignored.

    Raises:
        Unusable: The file is damaged, drawn on another size, or has a shape without area.
    """
    whole = json_file.read(path)
    shapes = json_file.field(whole, "shapes", list)
    size = json_file.whole(whole.get("imageHeight")), json_file.whole(whole.get("imageWidth"))
    if None not in size:
        check_size(size, shape)
    groups: dict[object, list[Annotation]] = {}
    for number, one in enumerate(shapes, 1):
        label = class_name(json_file.field(one, "label", str))
        group = one.get("group_id")
        key = number if group is None else (label, str(group))
        try:
            groups.setdefault(key, []).append(_drawn(one, label, shape))
        except Unusable as fault:
            raise Unusable(f"shape {number} ({label!r}): {fault}") from None
    return [parts[0] if len(parts) == 1 else of_mask(parts[0].name, united(parts, shape)) for parts in groups.values()]


def _drawn(one: dict[str, Any], label: str, shape: tuple[int, int]) -> Annotation:
    kind, vertices = one.get("shape_type") or "polygon", json_file.field(one, "points", list)
    match kind:
        case "polygon":
            return drawing.polygons(label, [[drawing.points(vertices)]], shape)
        case "rectangle":
            return drawing.rectangle(label, drawing.points(vertices, kind, least=2), shape)
        case "circle":
            centre, edge = drawing.points(vertices, kind, least=2)[:2]
            radius = float(np.hypot(*(edge - centre)))
            return drawing.ellipse(label, (float(centre[0]), float(centre[1])), (radius, radius), shape)
        case "mask":
            left, top = drawing.points(vertices, kind, least=1)[0]
            return of_mask(label, _embedded(one), (int(top), int(left)), shape)
    raise Unusable(f"{json_file.shown(kind)} has no area; draw it as a polygon, or remove it")


def _embedded(one: dict[str, Any]) -> Any:
    try:
        values = formats.read(base64.b64decode(json_file.field(one, "mask", str), validate=True)).pixels
    except BiosegError as fault:
        raise Unusable(f"mask: {fault}") from None
    except ValueError:
        raise Unusable("mask that is no PNG in base64; draw it again") from None
    return (values if values.ndim == 2 else values[..., :3].max(axis=-1)) > 0
