"""Who may import whom. Each module imports only from rooms listed for its own, and importing bioseg is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bioseg"

# Room → rooms it may import besides itself. A room is a folder of bioseg, or a module that stands on its own.
ALLOWED = {
    "types": set(),
    "files": {"types"},
    "data": {"types", "files"},
    "models": {"types", "files"},
    "evaluation": {"types", "files"},
    "inference.postprocess": {"types", "inference.boxes", "inference.instances"},
    "inference.boxes": {"types"},
    "inference.instances": {"types"},
    "inference.quality": {"types"},
    "recipe": {"types", "data", "inference.postprocess", "inference.quality"},
    "inference": {"types", "files", "data", "models", "recipe", "inference.postprocess", "inference.quality"},
    "training": {
        "types", "files", "data", "models", "evaluation", "inference", "inference.postprocess", "inference.quality",
        "recipe",
    },
    "recipes": {
        "types", "data", "models", "evaluation", "training", "inference.postprocess", "inference.boxes",
        "inference.instances", "recipe",
    },
    "reports": {"types", "files", "evaluation"},
    "screen": {"types"},
    "workflows": {
        "types", "files", "data", "models", "evaluation", "inference", "inference.postprocess", "recipe", "training",
        "recipes", "reports", "inference.boxes", "inference.quality",
    },
    "cli": {
        "types", "files", "data", "models", "evaluation", "inference", "recipe", "training", "recipes", "reports",
        "workflows", "screen",
    },
}  # fmt: skip
OUTSIDE_EVALUATION = {"torch", "matplotlib", "pydicom", "PIL"}


def room(module: str) -> str:
    """``bioseg.images.formats`` → ``data``."""
    parts = module.split(".")[1:]
    if ".".join(parts[:2]) in ALLOWED:
        return ".".join(parts[:2])
    return parts[0] if parts else ""


def imports(path: Path) -> set[str]:
    """Every module a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


MODULES = sorted(
    path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem not in ("__init__", "__main__")
)


def name_of(path: Path) -> str:
    return ".".join(("bioseg", *path.relative_to(SOURCE).with_suffix("").parts))


def test_every_room_is_listed_and_there() -> None:
    assert {room(name_of(path)) for path in MODULES} == set(ALLOWED)
    assert len(MODULES) >= 35


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    own = room(name_of(path))
    for module in imports(path):
        if module.startswith("bioseg.") and room(module):
            assert room(module) in ALLOWED[own] | {own}, f"{name_of(path)} imports {module}"
        if own == "evaluation":
            assert module.split(".")[0] not in OUTSIDE_EVALUATION, f"{name_of(path)} imports {module}"


def test_importing_bioseg_is_quick_and_loads_no_torch() -> None:
    code = (
        "import time; t = time.perf_counter(); import sys, bioseg, bioseg.cli; "
        "assert 'torch' not in sys.modules; print(time.perf_counter() - t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5
