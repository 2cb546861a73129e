"""RSNA pneumonia challenge: ``stage_2_train_images/<patientId>.dcm`` and ``stage_2_train_labels.csv``, a row a box."""

from pathlib import Path

from bioseg.data.layout import read_table, root_with
from bioseg.types import BiosegError, Box, Case


def list_cases(folder: Path) -> list[Case]:
    """Pictures of the table that are there, each with its boxes, none where Target is 0.

    Raises:
        BiosegError: Neither ``folder`` nor ``folder/rsna`` has that layout, or the table has other columns.
    """
    root = root_with(folder, "stage_2_train_labels.csv", "rsna")
    boxes = read_boxes(root / "stage_2_train_labels.csv")
    pictures = sorted((root / "stage_2_train_images").glob("*.dcm"))
    return [
        Case(id=picture.stem, patient=picture.stem, picture=picture, boxes=boxes[picture.stem], source="RSNA")
        for picture in pictures
        if picture.stem in boxes
    ]


def read_boxes(table: Path) -> dict[str, tuple[Box, ...]]:
    """The boxes of every patient in a label table, in px of the 1024×1024 pictures.

    Raises:
        BiosegError: It has other columns, or a coordinate is no number.
    """
    boxes: dict[str, tuple[Box, ...]] = {}
    for row in read_table(table):
        try:
            there = boxes.setdefault(row["patientId"], ())
            if row["Target"] == "1":
                boxes[row["patientId"]] = (*there, Box(*(float(row[name]) for name in ("x", "y", "width", "height"))))
        except (KeyError, ValueError) as fault:
            raise BiosegError(f"{table}: {fault} in {dict(row)}; expected patientId,x,y,width,height,Target") from None
    return boxes
