"""Records of older formats, brought to today's.

Format 1 (bioseg 0.1.0 before its rooms were rearranged) used other names for modules, fields and a few values.
"""

from collections.abc import Callable
from typing import Any

FORMAT = 2

_MODULES = {
    "bioseg.data.prepare": "bioseg.images.prepare",
    "bioseg.data.augment": "bioseg.datasets.augment",
    "bioseg.data.folders": "bioseg.datasets.folders",
    "bioseg.data.splits": "bioseg.datasets.splits",
    "bioseg.inference.postprocess": "bioseg.postprocess.masks",
    "bioseg.inference.instances": "bioseg.postprocess.instances",
    "bioseg.inference.boxes": "bioseg.postprocess.boxes",
    "bioseg.inference.quality": "bioseg.quality.model",
    "bioseg.training.choose": "bioseg.postprocess.choose",
    "bioseg.training.fit_quality": "bioseg.quality.fit",
} | {
    f"bioseg.data.{name}": f"bioseg.datasets.layouts.{name}"
    for name in (
        "belarus", "cardiac_lv", "chest_xrays", "ct_lungs", "jsrt", "montgomery", "nuclei", "rsna", "shenzhen",
    )
}  # fmt: skip
_NAMES = {
    "cross_entropy_and_picture_dice": "cross_entropy_and_image_dice",
    "list_pictures": "list_images",
    "list_boxes_or_masks": "list_cases",
    "Quality": "QualityModel",
    "Cloud": "Distribution",
    "Falling": "Logistic",
}
_TARGETS = {"inside": "foreground", "core": "marker", "anywhere": "presence"}
_FIELDS: dict[str, dict[str, str]] = {
    "SegmentationRecipe": {"list_cases": "layout", "judged_on": "evaluated_on", "adapt": "configure"},
    "TranslationRecipe": {"list_cases": "layout"},
    "Training": {
        "rate": "learning_rate", "encoder_rate": "encoder_learning_rate", "batch": "batch_size",
        "validation_batch": "validation_batch_size",
    },
    "AdversarialTraining": {"rate": "learning_rate", "batch": "batch_size"},
    "Preparation": {"truth": "targets", "unite": "merge"},
    "Instances": {"core_threshold": "marker_threshold"},
    "Boxes": {"gate": "min_presence"},
    "QualityModel": {"outlines": "shapes", "pictures": "images", "belongs": "in_distribution", "least": "flag_below"},
    "pretrained_unet": {"whole": "presence"},
    "objects": {"cores": "marker_thresholds"},
    "boxes": {"gates": "min_presences"},
    "fit_quality": {"least": "flag_below"},
}  # fmt: skip


def migrated(record: dict[str, Any]) -> dict[str, Any]:
    """A whole record in today's format; the recipe's fingerprint is that of the renamed recipe."""
    if record.get("format") != 1:
        return record
    new = {{"judged_on": "evaluated_on"}.get(key, key): value for key, value in record.items()}
    new |= {"format": FORMAT, "recipe": migrated_value(record["recipe"])}
    parts = record.get("parts")
    if isinstance(parts, dict) and isinstance(parts.get("source"), dict):  # a translator's
        new["parts"] = {
            domain: {"monitored" if part == "watched" else part: ids for part, ids in own.items()}
            for domain, own in parts.items()
        }
    return new


def migrated_value(value: Any) -> Any:
    """A specification as JSON values, with today's names; what already has them stays as it is."""
    if isinstance(value, list):
        return [migrated_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next((key for key in ("$type", "$call", "$function") if isinstance(value.get(key), str)), "")
    if not kind:
        return {key: migrated_value(item) for key, item in value.items()}
    module, _, name = value[kind].partition(":")
    name = _NAMES.get(name, name)
    fields = _FIELDS.get(name, {})
    new: dict[str, Any] = {}
    for key, item in value.items():
        if key != kind:
            new[fields.get(str(key), str(key))] = migrated_value(item)
    if name in _CHANGES:
        new = _CHANGES[name](new)
    new[kind] = f"{_MODULES.get(module, module)}:{name}"
    return new


def _recipe(fields: dict[str, Any]) -> dict[str, Any]:
    """Two switches became one choice, and the grid of the scores another name."""
    flips, turns = fields.pop("flips", False), fields.pop("turns", False)
    if "tta" not in fields and (flips or turns):
        fields["tta"] = "dihedral" if turns else "flip"
    if fields.get("evaluated_on") == "picture":
        fields["evaluated_on"] = "original"
    return fields


def _preparation(fields: dict[str, Any]) -> dict[str, Any]:
    if fields.get("fit") == "windows":
        fields["fit"] = "patches"
    if isinstance(fields.get("targets"), list):
        fields["targets"] = [_TARGETS.get(one, one) if isinstance(one, str) else one for one in fields["targets"]]
    return fields


_CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "SegmentationRecipe": _recipe,
    "Preparation": _preparation,
}
