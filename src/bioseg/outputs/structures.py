"""What a model segments, in the words and codes of other programs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

Code = tuple[str, str, str]
"""(value, coding scheme, meaning), as DICOM writes a concept."""

_ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
_ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE: Code = ("85756007", "SCT", "Tissue")
_LUNG: Code = ("39607008", "SCT", "Lung")

PRIVATE = "99BIOSEG"
"""The coding scheme of classes that have no code here."""


@dataclass(frozen=True)
class Structure:
    """The class of the foreground.

    Attributes:
        name: In lower case, singular.
        category: SNOMED CT, from the DICOM context group 7150, "Segmentation Property Categories".
        type: SNOMED CT, or :data:`PRIVATE`.
        laterality: Which of a pair, from the context group 244; None: not one of a pair.
    """

    name: str
    category: Code
    type: Code
    laterality: Code | None = None


OTHER = Structure("foreground", _TISSUE, _TISSUE)
LUNG = Structure("lung", _ANATOMY, _LUNG)
RIGHT_LUNG = Structure("right lung", _ANATOMY, _LUNG, ("24028007", "SCT", "Right"))
LEFT_LUNG = Structure("left lung", _ANATOMY, _LUNG, ("7771000", "SCT", "Left"))
LEFT_VENTRICLE = Structure("left ventricle", _ANATOMY, ("87878005", "SCT", "Left ventricle"))

_BY_WORD = {
    "lung": LUNG,
    "left ventric": LEFT_VENTRICLE,
    "pneumonia": Structure("pneumonia", _ABNORMAL, ("233604007", "SCT", "Pneumonia")),
    "nucle": Structure("nucleus", _ANATOMY, ("84640000", "SCT", "Nucleus")),
}
_BY_NAME = {structure.name: structure for structure in (*_BY_WORD.values(), OTHER, RIGHT_LUNG, LEFT_LUNG)} | {
    name: Structure(name, _ANATOMY, (code, "SCT", meaning))
    for name, code, meaning in (
        ("heart", "80891009", "Heart"),
        ("mediastinum", "72410000", "Mediastinum"),
        ("clavicle", "51299004", "Clavicle"),
        ("right ventricle", "53085002", "Right ventricle"),
        ("myocardium", "49848007", "Left Ventricle Myocardium"),
        ("liver", "10200004", "Liver"),
    )
}


_BY_NAME |= {
    "lungs": LUNG,
    "lv": LEFT_VENTRICLE,
    "lv cavity": LEFT_VENTRICLE,
    "left ventricular cavity": LEFT_VENTRICLE,
}
HEART = _BY_NAME["heart"]


def structure_of(task: str) -> Structure:
    """The structure that a recipe's task names first; without one it is tissue called "foreground"."""
    text = task.lower()
    named = [(text.find(word), structure) for word, structure in _BY_WORD.items() if word in text]
    return min(named, key=lambda one: one[0])[1] if named else OTHER


def structure_named(name: str) -> Structure:
    """The structure of a class: by its name, else tissue with a private code that holds the name.

    Args:
        name: ``left lung``, ``left_lung`` and ``Left-Lung`` are the same.
    """
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return _BY_NAME.get(plain) or Structure(name, _TISSUE, (_private_value(name), PRIVATE, name[:64]))


def segment_names(classes: Sequence[str]) -> tuple[str, ...]:
    """What the classes of a model are called in DICOM and in measurements; as they are where two would be called the same."""
    names = tuple(structure_named(name).name for name in classes)
    return names if len(set(names)) == len(names) else tuple(classes)


def _private_value(name: str) -> str:
    """A code value of at most 16 characters, the same for the same name only."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    if plain == name and len(name) <= 16:
        return name
    return f"{plain[:9]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
