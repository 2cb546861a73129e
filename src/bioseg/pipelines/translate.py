"""Translate images in files and folders: one PNG an image, in its own size."""

from collections.abc import Sequence
from pathlib import Path

from bioseg.datasets import cases as reading
from bioseg.images import png
from bioseg.inference.translator import Translator
from bioseg.outputs.names import name_outputs
from bioseg.reports import figures, translation_figures
from bioseg.types import SILENT, BiosegError, Callbacks, Case, ImageArray, Problem

SHOWN = 5
"""At most so many images are in the figure."""


def translate(
    translator: Translator, cases: Sequence[Case], out: Path, *, backwards: bool = False, figure: Path | None = None,
    callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png``, 8 bits of grey, for every image; one bad image stops no other.

    Args:
        translator: The model.
        cases: Images.
        out: Folder; images of the same stem get their folder's name in front.
        backwards: They look like the target and shall look like the source.
        figure: PNG to write of the first few: as it was, translated, reconstructed.
        callbacks: Hears how far it is.

    Returns:
        How many were translated, and the others with the reason.

    Raises:
        BiosegError: A translation would overwrite an image it is made from.
    """
    names = name_outputs([case.path for case in cases], out)
    shown: list[tuple[str, ImageArray, ImageArray, ImageArray]] = []
    problems: list[Problem] = []
    for done, (case, name) in enumerate(zip(cases, names, strict=True), 1):
        try:
            raw_image = reading.read_image(case)
            png.write_bytes(out / f"{name}.png", translator.translate(raw_image, backwards=backwards).pixels)
            if figure and len(shown) < SHOWN:
                shown.append((name, *translator.cycle(raw_image, backwards=backwards)))
        except BiosegError as fault:
            problems.append(Problem(case.path, str(fault)))
        callbacks.progress("translating", done, len(cases), "")
    if figure and shown:
        figures.save(translation_figures.triples(shown), figure)
    return len(cases) - len(problems), problems
