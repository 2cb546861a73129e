"""GeoJSON as QuPath writes it: a feature per object, with its class."""

from pathlib import Path
from typing import Any

from bioseg.datasets.annotations import drawing, json_file
from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Points, Unusable, class_name


def read(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The features in their order: polygons with holes, one or several each; coordinates in px of the full image.

    Raises:
        Unusable: The file is damaged, or a feature is no polygon.
    """
    found = []
    for number, feature in enumerate(_features(json_file.read(path)), 1):
        name = _class_of(feature)
        try:
            geometry = json_file.field(feature, "geometry", dict)
            found.append(drawing.polygons(name, _parts(geometry), shape))
        except Unusable as fault:
            raise Unusable(f"feature {number} ({name!r}): {fault}") from None
    return found


def _features(whole: Any) -> list[Any]:
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict) and whole.get("type") == "Feature":
        return [whole]
    return json_file.field(whole, "features", list)


def _class_of(feature: Any) -> str:
    """``classification.name``, or the joined ``names`` of a derived class; empty where there is none."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    own = properties.get("classification") if isinstance(properties, dict) else None
    if not isinstance(own, dict):
        return class_name(own)
    names = own.get("names")
    return class_name(": ".join(map(class_name, names)) if isinstance(names, list) else own.get("name"))


def _parts(geometry: dict[str, Any]) -> list[list[Points]]:
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise Unusable(f"geometry {json_file.shown(kind)} has no area; draw it as a polygon, or remove it")
    coordinates = json_file.field(geometry, "coordinates", list)
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not parts or not all(isinstance(rings, list) and rings for rings in parts):
        raise Unusable(f"{kind} without coordinates; {AGAIN}")
    return [[drawing.points(ring) for ring in rings] for rings in parts]
