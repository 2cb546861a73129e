"""Translate pictures in files and folders: one PNG a picture, in its own size."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bioseg.data import pixels
from bioseg.inference.translator import Translator
from bioseg.reports import figures, translation_figures
from bioseg.types import BiosegError, Picture, Problem
from bioseg.workflows.predict import name_outputs

SHOWN = 5
"""At most so many pictures are in the figure."""


def translate(
    translator: Translator, pictures: Sequence[Path], out: Path, *, backwards: bool = False, figure: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png``, 8 bits of grey, for every picture; one bad picture stops no other.

    Args:
        translator: The model.
        pictures: Files.
        out: Folder; pictures of the same stem get their folder's name in front.
        backwards: They look like the target and shall look like the source.
        figure: PNG to write of the first few: as it was, translated, reconstructed.
        progress: Told (done, total).

    Returns:
        How many were translated, and the others with the reason.

    Raises:
        BiosegError: A translation would overwrite a picture it is made from.
    """
    names = name_outputs(pictures, out)
    shown: list[tuple[str, Picture, Picture, Picture]] = []
    problems: list[Problem] = []
    for done, (path, name) in enumerate(zip(pictures, names, strict=True), 1):
        try:
            stored = pixels.read(path)
            pixels.write_bytes(out / f"{name}.png", translator.translate(stored, backwards=backwards).pixels)
            if figure and len(shown) < SHOWN:
                shown.append((name, *translator.views(stored, backwards=backwards)))
        except BiosegError as fault:
            problems.append(Problem(path, str(fault)))
        progress(done, len(pictures))
    if figure and shown:
        figures.save(translation_figures.triples(shown), figure)
    return len(pictures) - len(problems), problems
