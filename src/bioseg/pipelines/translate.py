"""Translate images in files and folders: one PNG an image, in its own size."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bioseg import files, record
from bioseg.datasets import cases as reading
from bioseg.images import png
from bioseg.images.formats import RawImage
from bioseg.inference.predictor import Predictor
from bioseg.inference.translator import Translator
from bioseg.models import weights
from bioseg.outputs.names import printable
from bioseg.pipelines.ledger import claim_names
from bioseg.pipelines.output_folder import refuse_inputs, refuse_run
from bioseg.pipelines.stream import attempt, staged
from bioseg.reports import figures, translation_figures
from bioseg.types import SILENT, BiosegError, Callbacks, Case, ImageArray, Problem

LEDGER = "translation.json"
SHOWN = 5
"""At most this many images are in the figure."""

Read = tuple[Case, RawImage]
Shown = tuple[str, ImageArray, ImageArray, ImageArray]


def translate(
    translator: Translator, cases: Sequence[Case], out: Path, *, backwards: bool = False, figure: Path | None = None,
    callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png``, 8 bits of grey, for every image; one bad image stops no other.

    The same model may add to what it wrote to ``out`` before, in the same direction; ``translation.json`` says which model it
    was and which name each image got.

    Args:
        translator: The model.
        cases: Images.
        out: Folder; images of the same stem get their folder's name in front.
        backwards: From the target domain to the source.
        figure: PNG to write of the first few: original, translated, reconstructed.
        callbacks: Hears how far it is.

    Returns:
        How many were translated, and the others with the reason.

    Raises:
        BiosegError: ``out`` is a file, may not be written, is written by another process, holds a run or the images of another
            model; or a translation or the figure would overwrite an image it is made from.
    """
    refuse_inputs(out)
    refuse_run(out)
    if figure and figure.resolve() in {case.path.resolve() for case in cases}:
        raise BiosegError(f"--figure {figure}: is one of the images; choose another file")
    with files.lock(out):
        name, direction = translator.recipe.name, "backwards" if backwards else "forwards"
        identity = f"{fingerprint(translator)}-{direction}"
        names = claim_names(out / LEDGER, f"{name}, {direction}", identity, cases)
        return _translate(translator, cases, out, names, backwards, figure, callbacks)


def fingerprint(translator: Translator) -> str:
    """Sixteen hexadecimal digits that change with the recipe or the weights."""
    digest = hashlib.sha256(record.fingerprint(translator.recipe).encode())
    digest.update(weights.dump(translator.pair))
    return digest.hexdigest()[:16]


def translating(predictor: Predictor, translator: Translator) -> Predictor:
    """A predictor that translates every image to another domain first."""
    identity = f"{predictor.fingerprint}-{fingerprint(translator)}" if predictor.fingerprint else ""
    return replace(predictor, transform=translator.translate, fingerprint=identity)


def _translate(
    translator: Translator, cases: Sequence[Case], out: Path, names: dict[str, str], backwards: bool, figure: Path | None,
    callbacks: Callbacks,
) -> tuple[int, list[Problem]]:  # fmt: skip
    problems, shown = list[Problem](), list[Shown]()

    def read(case: Case) -> Read | Problem:
        return attempt(case.path, lambda: (case, reading.read_image(case)))

    def translated(found: Iterator[Read | Problem]) -> Iterator[Read | Problem]:
        for one in found:
            yield one if isinstance(one, Problem) else attempt(one[0].path, partial(forward, *one))

    def forward(case: Case, raw_image: RawImage) -> Read:
        made = translator.translate(raw_image, backwards=backwards)
        if figure and len(shown) < SHOWN:
            shown.append((names[printable(case.place)], *translator.cycle(raw_image, backwards=backwards)))
        return case, made

    def write(one: Read) -> Problem | None:
        case, made = one
        path = out / f"{names[printable(case.place)]}.png"
        return attempt(case.path, partial(png.write_bytes, path, made.pixels))

    with closing(staged(cases, read, translated, write)) as results:
        for done, result in enumerate(results, 1):
            if isinstance(result, Problem):
                problems.append(result)
            callbacks.progress("translating", done, len(cases), "")
    if figure and shown:
        figures.save(translation_figures.triples(shown), figure)
    return len(cases) - len(problems), problems
