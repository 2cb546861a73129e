"""Which files of an output folder were made of which images, by which model; so that nothing else is overwritten."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.outputs.names import SUFFIXES, files_in, is_inside, name_outputs, printable
from bioseg.types import BiosegError, Case


def claim_names(ledger: Path, model: str, fingerprint: str, cases: Sequence[Case]) -> dict[str, str]:
    """Name the outputs of ``cases`` and write the names to ``ledger`` before any output is written.

    An image that has a name there keeps it, and no other image gets it.

    Args:
        ledger: A JSON file in the output folder.
        model: The model's name, for people.
        fingerprint: Of the model; empty: unknown.
        cases: Images, each once.

    Returns:
        The names by :func:`printable` place, those of earlier images too.

    Raises:
        BiosegError: The folder was written with another model, a file of one of these names is not from this one, or a
            sub-folder for them is a link that leads out of the folder.
    """
    earlier = _read(ledger, fingerprint)
    names = name_outputs(cases, ledger.parent, earlier)
    _refuse_leading_out(ledger.parent, names)
    there = files_in(ledger.parent, names)
    for case, name in zip(cases, names, strict=True):
        foreign = next((name + suffix for suffix in SUFFIXES if name + suffix in there), "")
        if foreign and printable(case.place) not in earlier:
            raise BiosegError(
                f"{ledger.parent / foreign}: lies there already and is not this model's; choose another --out"
            )
    known = earlier | dict(zip((printable(case.place) for case in cases), names, strict=True))
    files.write_json(ledger, {"model": model, "fingerprint": fingerprint, "images": known})
    return known


def _refuse_leading_out(out: Path, names: Sequence[str]) -> None:
    here = out.resolve()
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        if not (out / folder).resolve().is_relative_to(here):
            raise BiosegError(f"{out / folder}: leads out of {out}; remove that link, or choose another --out")


def claimed(ledger: Path) -> set[Path]:
    """Every file that may have been written for the images in ``ledger``; none where it is missing or damaged."""
    names: Any = None
    with suppress(BiosegError):
        content = files.read_json(ledger, "") if ledger.exists() else None
        names = content.get("images") if isinstance(content, dict) else None
    made = [name for name in names.values() if isinstance(name, str)] if isinstance(names, dict) else []
    return {ledger.parent / f"{name}{suffix}" for name in made for suffix in SUFFIXES}


def _read(ledger: Path, fingerprint: str) -> dict[str, str]:
    if not ledger.exists():
        return {}
    remedy = "choose another --out"
    content: Any = files.read_json(ledger, remedy)
    names = content.get("images") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) and name for name in names.values()):
        raise BiosegError(f"{ledger}: does not list images; {remedy}")
    if not fingerprint or content.get("fingerprint") != fingerprint:
        raise BiosegError(f"--out {ledger.parent}: holds what another model made ({content.get('model')}); {remedy}")
    if bad := next((name for name in names.values() if not is_inside(name)), ""):
        raise BiosegError(f"{ledger}: {bad!r} is not the name of a file in its folder; {remedy}")
    return names
