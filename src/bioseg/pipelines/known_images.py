"""Images that trained a model or chose its weights and settings, known by their content."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bioseg.datasets.identity import content_hashes
from bioseg.types import Case

PARTS = ("validation", "train")
"""An image that did both, in different folds or models, counts as the last."""


def image_hashes(*records: Mapping[str, Any]) -> dict[str, str]:
    """Content hash of every image in the records of runs and models → its part.

    Those of a model that the training started from are among them.
    """
    found: list[tuple[str, str]] = []
    for record in records:
        images, parts = record.get("images", {}), record.get("parts", {})
        found += record.get("image_hashes", {}).items()
        found += [(images[name], part) for part in PARTS for name in parts.get(part, ()) if name in images]
    return dict(sorted(found, key=lambda item: PARTS.index(item[1])))


def seen_by_base(record: Mapping[str, Any], cases: Sequence[Case]) -> dict[str, int] | None:
    """How many of the cases trained or chose the model that a run started from; None where that is unknown."""
    if unknown(record):
        return None
    known = record.get("image_hashes", {})
    hashes = content_hashes(cases) if known else {}
    parts = [known.get(hashes.get(case.id, "")) for case in cases]
    return {part: parts.count(part) for part in PARTS}


def about_base(parts: Iterable[tuple[Mapping[str, Any], Sequence[Case]]]) -> dict[str, Any]:
    """``seen`` of a summary, for the cases that each record's network is scored on; empty for runs that began afresh."""
    counts = [seen_by_base(record, cases) for record, cases in parts if "init" in record]
    known = [one for one in counts if one is not None]
    whole = {part: sum(one[part] for one in known) for part in PARTS}
    return {"seen": whole if len(known) == len(counts) else None} if counts else {}


def warn_of_seen(record: Mapping[str, Any], parts: Mapping[str, Sequence[Case]], log: Callable[[str], None]) -> None:
    """Say for each part of a new run what of it the model knows that it starts from."""
    name = record["init"]["model"]
    for part, cases in parts.items():
        counts = seen_by_base(record, cases)
        if counts is None:
            log(f"warning: it is unknown which images trained {name}; the {part} scores may be optimistically biased")
            return
        if count := sum(counts.values()):
            log(
                f"warning: {count} of {len(cases)} {part} images trained or chose {name}: the {part} scores are optimistically "
                "biased; give a --split that has them in train"
            )


def unknown(record: Mapping[str, Any]) -> bool:
    """Whether a run started from weights of which nobody knows what they were trained on."""
    return bool(record.get("init", {}).get("images") == "unknown")
