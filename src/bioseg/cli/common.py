"""What the commands share."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioseg.types import Callbacks, Problem

if TYPE_CHECKING:
    from bioseg.cli.console import Screen

Plane = Annotated[
    str, typer.Option("--plane", help="Of files with several images: a number from 1, 10-40, middle, or all.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Channel = Annotated[str, typer.Option("--channel", help="Channels to use, by number from 1 or by name: DAPI, or 1,3.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")]


def examples(*lines: str) -> str:
    """The end of a command's help: one example per line."""
    return "\n\n".join(["Examples:", *(f"`{line}`" for line in lines)])


def words(text: str) -> tuple[str, ...]:
    """The parts between commas; none of an empty text."""
    return tuple(part.strip() for part in text.split(",")) if text.strip() else ()


def screen() -> "Screen":
    """Where the command prints."""
    from bioseg.cli.console import Screen

    return Screen()


def callbacks(screen: "Screen") -> Callbacks:
    """Progress and lines on the screen."""
    return Callbacks(screen.progress, screen.log, screen.epoch)


def finish(screen: "Screen", problems: list[Problem]) -> None:
    """Report what was left out, and say so by the exit code."""
    for reason in dict.fromkeys(problem.reason for problem in problems):  # the slices of one file share theirs
        screen.error(reason)
    if problems:
        screen.error(f"{len(problems)} left out, the reasons above; the rest is done")
    raise typer.Exit(1 if problems else 0)


def print_json(value: Any) -> None:
    """Print JSON on standard output; NaN becomes null."""
    from bioseg.files import without_nan

    print(json.dumps(without_nan(value), indent=2))
