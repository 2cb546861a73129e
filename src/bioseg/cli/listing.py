"""Commands that list, check and compare, and change nothing but a report."""

from pathlib import Path
from typing import Annotated

import typer

from bioseg.cli import common
from bioseg.cli.common import Channel, Json, Plane
from bioseg.cli.configuring import recipes_like


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Print this recipe as a config file to start from.", autocompletion=recipes_like),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the recipes: name, task, purpose, parameters."""
    if name:
        from bioseg import config_file
        from bioseg.recipes import get

        typer.echo(config_file.write(get(name)), nl=False)
        return
    from bioseg.pipelines.machine import describe_recipes

    rows = describe_recipes()
    if as_json:
        common.print_json(rows)
    else:
        common.screen().table(["recipe", "task", "purpose", "parameters"], [[*map(str, row.values())] for row in rows])


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are compared.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write instead of report.html in the run, or comparison.html."),
    ] = None,
) -> None:
    """Write the page that explains a run, or compares several."""
    from bioseg.pipelines.report import report as work

    common.screen().log(str(work(runs, out)))


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders that `train` or `evaluate` wrote; the first is the baseline.")
    ],
    score: Annotated[str, typer.Option(help="A column of scores.csv.")] = "dice",
    as_json: Json = False,
) -> None:
    """Compare runs: means, and paired differences with 95 % intervals."""
    from bioseg.cli.console import interval
    from bioseg.pipelines.compare import compare_runs

    rows = compare_runs(runs, score=score)
    if as_json:
        common.print_json(rows)
        return
    table = [
        [Path(row["run"]).name, str(row["cases"]), f"{row['mean']:.4f} ± {row['sd']:.4f}", interval(row["ci95"])]
        + (
            [
                f"{row['difference']:+.4f}",
                interval(row["difference_ci95"], "+.4f"),
                f"{row['better']} / {row['worse']}",
            ]
            if "difference" in row
            else [""] * 3
        )
        for row in rows
    ]
    head = ["run", "images", f"{score}, mean ± SD", "95 % interval", "difference", "95 % interval", "better / worse"]
    common.screen().table(head, table)


def models(as_json: Json = False) -> None:
    """List the pretrained models; each is opened by its name."""
    from bioseg.pipelines.models import describe_models

    rows = describe_models()
    if as_json:
        common.print_json(rows)
        return
    table = [
        [row["name"], row["task"], f"{row['dice']:.3f}", row["evaluated_on"], f"{row['megabytes']} MB"] for row in rows
    ]
    screen = common.screen()
    screen.table(["model", "task", "Dice", "evaluated on", "size"], table)
    screen.log("model cards:\n" + "\n".join(row["card"] for row in rows))


def data_check(
    folder: Annotated[Path, typer.Argument(help="Any folder of images and masks.")],
    channel: Channel = "",
    plane: Plane = "",
    page: Annotated[
        Path | None, typer.Option("--report", help="Page to write: every image with its mask, what stands out first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a data set: what was paired, left over, unreadable, of another size, empty or suspicious."""
    from bioseg.datasets import inspection
    from bioseg.pipelines.check import check

    with common.screen() as screen:
        scan = check(folder, page, common.callbacks(screen), select=common.words(channel), plane=plane)
    if as_json:
        common.print_json(inspection.to_json(scan))
    else:
        screen.log("\n".join([*inspection.scan_lines(scan), *([f"report         {page}"] if page else [])]))
    raise typer.Exit(0 if scan.clean else 1)


def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, PyTorch, GPU, memory, disk, codecs, and the speed of a network."""
    from bioseg.pipelines.machine import examine_machine

    facts, healthy = examine_machine()
    if as_json:
        common.print_json(facts)
    else:
        common.screen().table(["what", "found"], [[key, str(value)] for key, value in facts.items()])
    raise typer.Exit(0 if healthy else 1)
