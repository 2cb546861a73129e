"""The command line run inside the test's own process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bioseg import cli


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    error: str


Bioseg = Callable[..., Result]


def runner(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int) -> Bioseg:
    """A function that runs ``bioseg ARGUMENTS`` on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["bioseg", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capfd.readouterr())

    return run
