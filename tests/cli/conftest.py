"""The command line run inside this process, on a terminal of 80 columns."""

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


@pytest.fixture
def bioseg(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bioseg:
    """Run ``bioseg ARGUMENTS`` and return exit code and output."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["bioseg", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Result(int(end.value.code or 0), *capfd.readouterr())

    return run
