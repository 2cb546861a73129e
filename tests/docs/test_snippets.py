"""Every command and snippet of README and docs runs.

Fenced ``python`` blocks run as they stand, those of one page in one namespace. The lines of fenced ``bash`` blocks run in this
process, in the order of the page, with phantoms under the names they use. What would take long is made smaller by
:func:`reduced`, which lists all that is changed; figures are not rendered. What does not run is listed in :data:`SKIPPED`.
"""

import re
import shlex
import shutil
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from bioseg import cli, recipes
from bioseg.cli.console import Screen
from bioseg.reports import figures
from bioseg.settings import override

from .workspace import TINY, link_all, write_data, write_run

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.M | re.S)
SPAN = re.compile(r"(?<!`)`(bioseg [^`\n]+|python -m benchmarks[^`\n]*)`")
RUN, TRAIN = re.compile(r"runs/[\w-]+"), re.compile(r"bioseg\.train\([^()]*\)")
FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
SKIPPED = re.compile(r"make [a-z-]+|source \.venv/bin/activate|\.ci/run")
"""Set up a virtual environment of their own; that the Makefile has these targets is tested below."""


def blocks(page: Path, language: str) -> list[str]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(text) for _, kind, text in found if kind == language]


def commands(page: Path) -> list[str]:
    return [line for text in blocks(page, "bash") for line in text.splitlines() if line and not line.startswith("#")]


def own_files(page: Path) -> dict[str, str]:
    """Blocks that are files: those that begin with a comment of nothing but the file's name."""
    texts = blocks(page, "python") + blocks(page, "toml")
    return {found[1]: text for text in texts if (found := FILE.match(text))}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


LONG = {
    "results-out.md",
    "cells-to-rois.md",
    "clinic-study.md",
    "own-network.md",
    "classes.md",
    "channels.md",
    "python.md",
    "own-code.md",
    "settings.md",
    "pretrained-models.md",
    "translate.md",
    "trust.md",
    "first-model.md",
    "objects-and-boxes.md",
    "export.md",
    "annotations.md",
    "measurements.md",
    "fine-tune.md",
}
"""Pages whose snippets take five seconds and more each; they run among the slow tests."""


FOLLOWED = {"own-network.md"}
"""Pages whose commands need the model that their Python trains: followed in tests/end_to_end/test_three_users.py."""


def pages_with(language: str) -> list[object]:
    pages = [page for page in PAGES if blocks(page, language) and not (language == "bash" and page.name in FOLLOWED)]
    return [pytest.param(page, marks=[pytest.mark.slow] if page.name in LONG else []) for page in pages]


def reduced(words: list[str]) -> list[str]:
    """The command on small networks: one epoch, two folds, sessions of a study that end before they train."""
    words = list(words)
    if words[0] == "train":
        small = [*TINY, *(("generator.width=4", "discriminator.width=4") if "cyclegan" in words[1] else ())]
        small = [setting for setting in small if not ("cyclegan" in words[1] and "batch_size" in setting)]
        words += [part for setting in small for part in ("--set", setting)]
    for option, value in (("--folds", "2"), ("--minutes", "0"), ("--epochs", "2")):
        if option in words:
            words[words.index(option) + 1] = value
    return words


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/`` with what the pages read, and ``run/``, a trained model."""
    root = tmp_path_factory.mktemp("docs")
    (root / "data").mkdir()
    write_data(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "png", lambda figure: b"")
        patch.setenv("BIOSEG_CACHE", str(root / "cache"))
        write_run(root / "run", root / "data" / "my-images")
    return root


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: phantoms, and figures that cost nothing."""
    link_all(prepared / "data", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    monkeypatch.setattr(Screen, "table", lambda self, head, rows: None)
    return tmp_path


def write_files(page: Path) -> None:
    """The files that a page shows, into the current folder."""
    for name, text in own_files(page).items():
        Path(name).write_text(text, encoding="utf-8")


def supply_runs(text: str, prepared: Path) -> None:
    """A trained model wherever ``text`` names a run that a reader has trained by then."""
    for name in RUN.findall(text):
        if not Path(name).exists():
            shutil.copytree(prepared / "run", name)


def run(words: list[str], prepared: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """``bioseg`` in this process; the exit code."""
    given = [word for before, word in pairwise(words) if before != "--out"]
    supply_runs(" ".join(given), prepared)
    monkeypatch.setattr(sys, "argv", ["bioseg", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("page", pages_with("bash"), ids=name_of)
def test_the_commands_of_a_page_run(
    page: Path, workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(page)
    for line in commands(page):
        words = shlex.split(line, comments=True)
        if SKIPPED.fullmatch(" ".join(words[:2])) or not words:
            continue
        assert words[0] == "bioseg", f"{line}: neither a command of bioseg nor listed as skipped"
        assert run(reduced(words[1:]), prepared, monkeypatch) == 0, f"{line}\n{capfd.readouterr().err}"


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_the_python_of_a_page_runs(page: Path, workspace: Path, prepared: Path) -> None:
    names: dict[str, object] = {"__name__": "snippet"}
    write_files(page)
    for text in [text for text in blocks(page, "python") if not FILE.match(text)]:
        trained = RUN.findall(" ".join(TRAIN.findall(text)))
        supply_runs(" ".join(name for name in RUN.findall(text) if name not in trained), prepared)
        exec(compile(text, name_of(page), "exec"), names)


def test_every_page_and_language_is_covered() -> None:
    assert len(PAGES) >= 20
    found = {kind for page in PAGES for _, kind, _ in BLOCK.findall(page.read_text(encoding="utf-8"))}
    assert found <= {"bash", "python", "text", "toml", "console"}
    assert {page for page in PAGES if blocks(page, "console")} == {ROOT / "docs" / "reference" / "commands.md"}
    assert sum(len(commands(page)) for page in PAGES) >= 35
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 10


def test_make_targets_in_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {line.split()[1] for page in PAGES for line in commands(page) if line.startswith("make ")}
    assert {"demo", "test", "test-slow", "test-all", "check", "bench", "docs"} <= named <= targets


def spans(page: Path) -> list[str]:
    return SPAN.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [page for page in PAGES if spans(page)], ids=name_of)
def test_commands_in_running_text_exist_with_their_options(page: Path) -> None:
    """They may leave things out as ``…``; names of commands, options and settings must be today's."""
    for span in spans(page):
        words = shlex.split(span)
        if words[0] == "python":
            assert (ROOT / "/".join(words[2].split("."))).with_suffix(".py").exists() or words[2] == "benchmarks", span
            continue
        command, rest = get_command(cli.app), [word for word in words[1:] if word != "…"]
        while rest and (inner := getattr(command, "commands", {})):
            assert rest[0] in inner, f"{span}: no such command"
            command = inner[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known | {"--help"}, span
        settings = [value for option, value in pairwise(rest) if option == "--set" and "…" not in value]
        for setting in settings:
            override(recipes.get(words[2]), setting)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        assert (page.parent / target).exists(), f"{name_of(page)}: {target}"
