"""What is generated is up to date: the reference of commands and the README's figure. And the words are the field's."""

import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SOURCES = sorted([ROOT / "README.md", *(path for room in ("src", "docs") for path in (ROOT / room).rglob("*"))])
TEXTS = [path for path in SOURCES if path.suffix in (".md", ".html", ".py")]
FOREIGN = re.compile(r"\b(?:pictures?|outlin(?:e|ed|es|ing))\b", re.I)


def test_the_reference_of_commands_is_what_make_docs_writes(tmp_path: Path) -> None:
    out = tmp_path / "commands.md"
    command = [sys.executable, "-m", "typer", "bioseg.cli", "utils", "docs", "--name", "bioseg", "--output", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    committed = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert out.read_text(encoding="utf-8") == committed, "give: make docs"


def overview() -> ModuleType:
    spec = importlib.util.spec_from_file_location("overview", ROOT / "docs" / "figures" / "overview.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["overview"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_figure_of_the_readme_is_drawn_from_phantoms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = overview()
    committed = module.OUT.read_bytes()
    assert len(committed) < 200_000
    monkeypatch.setattr(module, "OUT", tmp_path / "overview.png")
    module.main()
    pixels = [
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float) for data in (committed, module.OUT.read_bytes())
    ]
    assert pixels[0].shape == pixels[1].shape
    assert abs(pixels[0] - pixels[1]).mean() < 4, "give: python docs/figures/overview.py"


def test_the_docs_speak_the_words_of_the_field() -> None:
    found = {path.relative_to(ROOT).as_posix(): FOREIGN.findall(path.read_text(encoding="utf-8")) for path in TEXTS}
    allowed = {"src/bioseg/migration.py": 4, "src/bioseg/models/weights.py": 1}  # old records hold these words
    assert {name: words for name, words in found.items() if len(words) > allowed.get(name, 0)} == {}
    assert len(found) > 100


def test_the_readme_fits_one_screen_and_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    first = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
