"""GeoJSON as QuPath reads it: a polygon or several per object, with class and measurements."""

import json
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.classes import COLOURS
from bioseg.outputs.measure import OBJECT_COLUMNS, measure_objects
from bioseg.outputs.polygons import Polygon, trace
from bioseg.outputs.segmented import Segmented


def write(path: Path, segmented: Segmented) -> None:
    """Write a ``FeatureCollection``, one feature per object.

    Coordinates are in px from the top left corner of the image, see :mod:`bioseg.outputs.polygons`. Objects that the model
    separates are detections, components of a mask annotations. Measurements are the numbers of ``objects.csv``.

    Raises:
        BiosegError: It could not be written.
    """
    kind = "annotation" if segmented.prediction.labels is None else "detection"
    features = []
    for index, (name, labels) in enumerate(segmented.by_class):
        polygons, colour = trace(labels), list(COLOURS[index % len(COLOURS)])
        for number, *values in measure_objects(labels, segmented.raw_image):
            assert isinstance(number, int)
            measured = zip(OBJECT_COLUMNS[2:], values, strict=True)
            properties = {
                "objectType": kind,
                "name": f"{name}-{number}",
                "classification": {"name": name, "color": colour},
                "measurements": {column: value for column, value in measured if not isinstance(value, str)},
            }
            features.append({"type": "Feature", "geometry": _geometry(polygons[number]), "properties": properties})
    collection = files.without_nan({"type": "FeatureCollection", "features": features})
    files.write(path, json.dumps(collection, allow_nan=False) + "\n")


def _geometry(polygons: list[Polygon]) -> dict[str, Any]:
    closed = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon] for polygon in polygons]
    if len(closed) == 1:
        return {"type": "Polygon", "coordinates": closed[0]}
    return {"type": "MultiPolygon", "coordinates": closed}
