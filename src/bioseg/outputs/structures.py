"""What a model segments, in the words and codes of other programs."""

from dataclasses import dataclass

Code = tuple[str, str, str]
"""(value, coding scheme, meaning), as DICOM writes a concept."""

_ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
_ABNORMAL: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")
_TISSUE: Code = ("85756007", "SCT", "Tissue")


@dataclass(frozen=True)
class Structure:
    """The class of the foreground.

    Attributes:
        name: In lower case, singular.
        category: SNOMED CT, from the DICOM context group 7150, "Segmentation Property Categories".
        type: SNOMED CT.
    """

    name: str
    category: Code
    type: Code


OTHER = Structure("foreground", _TISSUE, _TISSUE)

_BY_WORD = {
    "lung": Structure("lung", _ANATOMY, ("39607008", "SCT", "Lung")),
    "left ventric": Structure("left ventricle", _ANATOMY, ("87878005", "SCT", "Left ventricle")),
    "pneumonia": Structure("pneumonia", _ABNORMAL, ("233604007", "SCT", "Pneumonia")),
    "nucle": Structure("nucleus", _ANATOMY, ("84640000", "SCT", "Nucleus")),
}


def structure_of(task: str) -> Structure:
    """The structure that a recipe's task names first; without one it is tissue called "foreground"."""
    text = task.lower()
    named = [(text.find(word), structure) for word, structure in _BY_WORD.items() if word in text]
    return min(named, key=lambda one: one[0])[1] if named else OTHER
