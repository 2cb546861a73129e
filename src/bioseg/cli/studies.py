"""Commands that run a whole study and write its table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bioseg.types import BiosegError

if TYPE_CHECKING:
    from bioseg.screen import Screen

Montgomery = Annotated[Path, typer.Option("--montgomery", help="Folder of the set that is learned from.")]
Jsrt = Annotated[Path | None, typer.Option("--jsrt", help="Folder of the set.")]
Shenzhen = Annotated[Path | None, typer.Option("--shenzhen", help="Folder of the set.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; both studies may share one.")]
Minutes = Annotated[
    float | None, typer.Option("--minutes", help="Stop after so many; the same command goes on where it stopped.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")]


def trials(
    montgomery: Montgomery,
    out: Out,
    jsrt: Jsrt = None,
    shenzhen: Shenzhen = None,
    belarus: Annotated[Path | None, typer.Option("--belarus", help="Folder of the set.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="full or laptop; by default full on a GPU and laptop without one.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Number of a trial; may be repeated.")] = None,
    minutes: Minutes = None,
    device: Device = "auto",
) -> None:
    """Run, or go on with, the nine trials of lungs across hospitals, and write their table."""
    from bioseg.inference.device import choose
    from bioseg.workflows import trials as work

    name = budget or ("full" if choose(device).type == "cuda" else "laptop")
    if name not in work.BUDGETS:
        raise BiosegError(f"--budget {budget}: choose {' or '.join(work.BUDGETS)}")
    given = zip(work.SETS, (montgomery, jsrt, shenzhen, belarus), strict=True)
    sets = {what: folder for what, folder in given if folder}
    order = work.Order(sets, out, work.BUDGETS[name], minutes=minutes, only=tuple(only or ()), device=device)
    with _screen() as screen:
        made, done = work.run_trials(order, tell=screen.tell, say=screen.say)
    _finish(screen, made, done)


def ladder(
    montgomery: Montgomery,
    out: Out,
    jsrt: Jsrt = None,
    shenzhen: Shenzhen = None,
    minutes: Minutes = None,
    device: Device = "auto",
) -> None:
    """Measure what helps on hospitals that were not seen, one remedy at a time, and write the table.

    Translators that `bioseg trials` left in the same folder are judged too.
    """
    from bioseg.workflows import ladder as work

    others = {name: folder for name, folder in (("JSRT", jsrt), ("Shenzhen", shenzhen)) if folder}
    order = work.Order(montgomery, others, out, minutes=minutes, device=device)
    with _screen() as screen:
        made, done = work.climb(order, tell=screen.tell, say=screen.say)
    _finish(screen, made, done)


def _screen() -> "Screen":
    from bioseg.screen import Screen

    return Screen()


def _finish(screen: "Screen", made: list[Path], done: bool) -> None:
    screen.say("\n".join(f"table  {path}" for path in made))
    if not done:
        screen.say("the time is over; the same command goes on")
