"""Commands that run a whole study and write its table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bioseg.cli import common
from bioseg.cli.common import Device
from bioseg.types import BiosegError

if TYPE_CHECKING:
    from bioseg.cli.console import Screen

Montgomery = Annotated[Path, typer.Option("--montgomery", help="Folder of the data set that is trained on.")]
Jsrt = Annotated[Path | None, typer.Option("--jsrt", help="Folder of the data set.")]
Shenzhen = Annotated[Path | None, typer.Option("--shenzhen", help="Folder of the data set.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; both studies may share one.")]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", help="End the session after so many; the same command continues where it stopped."),
]


def cross_hospital(
    montgomery: Montgomery,
    out: Out,
    jsrt: Jsrt = None,
    shenzhen: Shenzhen = None,
    belarus: Annotated[Path | None, typer.Option("--belarus", help="Folder of the data set.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="full or laptop; by default full on a GPU and laptop without one.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Number of a trial; may be repeated.")] = None,
    minutes: Minutes = None,
    device: Device = "auto",
) -> None:
    """Run, or continue, the nine trials of lungs across hospitals, and write their table."""
    from bioseg.inference.device import choose
    from bioseg.studies import cross_hospital as work

    name = budget or ("full" if choose(device).type == "cuda" else "laptop")
    if name not in work.BUDGETS:
        raise BiosegError(f"--budget {budget}: choose {' or '.join(work.BUDGETS)}")
    given = zip(work.SETS, (montgomery, jsrt, shenzhen, belarus), strict=True)
    sets = {what: folder for what, folder in given if folder}
    benchmark = work.Benchmark(sets, out, work.BUDGETS[name], minutes=minutes, only=tuple(only or ()), device=device)
    with common.screen() as screen:
        written, done = work.run_benchmark(benchmark, common.callbacks(screen))
    _finish(screen, written, done)


def adaptation(
    montgomery: Montgomery,
    out: Out,
    jsrt: Jsrt = None,
    shenzhen: Shenzhen = None,
    minutes: Minutes = None,
    device: Device = "auto",
) -> None:
    """Measure what helps on hospitals that were not seen, one change at a time, and write the table.

    Translation models that `bioseg study cross-hospital` left in the same folder are evaluated too.
    """
    from bioseg.studies import adaptation as work

    others = {name: folder for name, folder in (("JSRT", jsrt), ("Shenzhen", shenzhen)) if folder}
    study = work.Study(montgomery, others, out, minutes=minutes, device=device)
    with common.screen() as screen:
        written, done = work.run_study(study, common.callbacks(screen))
    _finish(screen, written, done)


def _finish(screen: "Screen", written: list[Path], done: bool) -> None:
    screen.log("\n".join(f"table  {path}" for path in written))
    if not done:
        screen.log("the session is over; the same command continues")
