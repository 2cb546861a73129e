"""Which room may import which, as docs/decisions/0011 draws them; no circles among modules; importing bioseg is quick."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bioseg"

# From the top down: a room imports from itself and from rooms in lower rows. A room is a folder of bioseg or a module.
ROWS = (
    {"cli"},
    {"api", "studies"},
    {"pipelines"},
    {"user_code"},
    {"recipes"},
    {"quality"},
    {"outputs", "reports", "training"},
    {"config_file", "inference"},
    {"settings", "tracking"},
    {"record"},
    {"migration", "recipe"},
    {"datasets", "models", "postprocess"},
    {"evaluation"},
    {"images"},
    {"model_file"},
    {"classes"},
    {"files", "specs"},
    {"types"},
)
HEIGHT = {room: len(ROWS) - row for row, rooms in enumerate(ROWS) for room in rooms}
OUTSIDE_EVALUATION = {"torch", "matplotlib", "pydicom", "PIL"}


def room(module: str) -> str:
    """``bioseg.datasets.splits`` → ``datasets``; of the package itself nothing."""
    return [*module.split("."), ""][1]


def imports(source: str) -> set[str]:
    """Every module a file imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("bioseg", *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py")) if path.name != "__main__.py"}
GRAPH = {name: imports(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def test_every_room_is_in_a_row_and_there() -> None:
    assert {room(name) for name in MODULES} - {""} == set(HEIGHT)
    assert len(MODULES) >= 90


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"bioseg"}))
def test_imports_go_down(name: str) -> None:
    own = room(name)
    for module in GRAPH[name]:
        if module.startswith("bioseg.") and room(module) != own:
            assert HEIGHT[room(module)] < HEIGHT[own], f"{name} imports {module}, which is not below it"
        if own == "evaluation":
            assert module.split(".")[0] not in OUTSIDE_EVALUATION, f"{name} imports {module}"


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty where none do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as fault:
        return list(fault.args[1])
    return []


def test_no_circles() -> None:
    own = {
        name: {module for module in found if module in MODULES and module != "bioseg"} for name, found in GRAPH.items()
    }
    own.pop("bioseg")  # its names are imported when they are used
    assert circle(own) == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert imports("def f():\n    from bioseg.recipes import auto\n") == {"bioseg.recipes.auto"}


def test_importing_bioseg_is_quick_and_loads_no_torch() -> None:
    code = (
        "import time; t = time.perf_counter(); import sys, bioseg, bioseg.cli; "
        "assert 'torch' not in sys.modules; print(time.perf_counter() - t)"
    )
    command = [sys.executable, "-c", code]
    done = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(3)]
    assert min(map(float, done)) < 0.5  # the quickest of three: another process may hold the processor


def test_no_file_is_over_16_kb() -> None:
    assert [name for name, path in MODULES.items() if path.stat().st_size > 16 * 1024] == []
