"""The command line run inside this process, on a terminal of 80 columns."""

import pytest

from tests.commands import Bioseg, runner


@pytest.fixture
def bioseg(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bioseg:
    """Run ``bioseg ARGUMENTS`` and return exit code and output."""
    return runner(capfd, monkeypatch, columns=80)
