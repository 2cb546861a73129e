"""The command line: reads arguments, calls, prints. Exit code 0: all well; 1: something could not be used; 2: usage."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioseg.cli import studies
from bioseg.types import BiosegError, Case, Problem

if TYPE_CHECKING:
    from bioseg.screen import Screen
    from bioseg.workflows.train_translator import Order as TranslatorOrder

app = typer.Typer(
    name="bioseg",
    help="Outline things in 2-D medical and microscopy pictures: train, judge, explain, use.\n\n"
    "Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of pictures and masks.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
SETS = "--montgomery MontgomerySet --jsrt JSRT --shenzhen ShenzhenSet --out runs/trials"
First = Annotated[
    Path | None,
    typer.Option("--translate", help="Translate the pictures first, by this run of a CycleGAN, to its target."),
]
Adapt = Annotated[
    bool,
    typer.Option(
        "--adapt", help="Take batch-norm statistics from these pictures first, for a source not learned from."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")]


@app.command(epilog="Example: `bioseg recipes --json`")
def recipes(as_json: Json = False) -> None:
    """List the recipes: name, task, what for, parameters."""
    from bioseg.workflows.inventory import describe_recipes

    rows = describe_recipes()
    if as_json:
        _print_json(rows)
    else:
        _screen().table(["recipe", "task", "what for", "parameters"], [[*map(str, row.values())] for row in rows])


@app.command(
    epilog="Examples: `bioseg train auto --data pictures --out runs/mine` · "
    "`bioseg train nuclei-reference --data stage1_train --out runs/nuclei --set training.epochs=10` · "
    "`bioseg train cxr-cyclegan-unet --data JSRT --target Montgomery --out runs/cyclegan` · "
    "`bioseg train auto --data pictures --out runs/mine --resume`"
)
def train(
    recipe: Annotated[str, typer.Argument(help="A name from `bioseg recipes`; `auto` fits any folder.")],
    data: Data,
    out: Out,
    target: Annotated[
        Path | None, typer.Option("--target", help="For translators: folder of pictures to look like; no masks needed.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Cross-validate with so many folds, patients kept apart.")] = 0,
    epochs: Annotated[int | None, typer.Option(help="Short for --set training.epochs=N.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="path=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that lies in --out.")] = False,
    device: Device = "auto",
) -> None:
    """Train a recipe on a folder, judge it on what was held out, and write a report; or a translator on two folders."""
    from bioseg import recipes as known
    from bioseg.recipe import TranslationRecipe
    from bioseg.workflows import train as work
    from bioseg.workflows import train_translator as translators

    if folds == 1 or folds < 0:
        raise BiosegError(f"--folds {folds}: give 2 or more, or leave it out for one split")
    asked = (*(settings or []), *([f"training.epochs={epochs}"] if epochs is not None else []))
    how, command = known.get(recipe), " ".join(["bioseg", *sys.argv[1:]])
    if isinstance(how, TranslationRecipe):
        if target is None or folds:
            raise BiosegError(f"{recipe}: makes a translator; give --target, the folder to look like, and no --folds")
        _train_translator(translators.Order(how, data, target, out, asked, resume, device, command))
        return
    if target:
        raise BiosegError(f"--target {target}: {recipe} makes a segmenter, which has none; leave it out")
    order = work.Order(
        recipe=how, data=data, out=out, folds=folds, settings=asked, resume=resume, device=device, command=command
    )
    with _screen() as screen:
        outcome = work.train(order, tell=screen.tell, say=screen.say)
    screen.scores(outcome.summary, "held out pictures")
    if outcome.test:
        screen.scores(outcome.test, "test pictures")
    screen.say(f"model  {out}\nreport {outcome.report}")
    _finish(screen, outcome.problems)


@app.command(epilog="Example: `bioseg evaluate runs/mine --data other-hospital --out scores/other`")
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder, or a name from `bioseg models`.")],
    data: Data,
    out: Out,
    translator: First = None,
    adapt: Adapt = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Score a model on pictures with masks: scores.csv, summary.json, figures, report.html."""
    from bioseg.workflows.evaluate import evaluate as work

    with _screen() as screen:
        summary, problems = work(
            model, data, out, translator=translator, adapted=adapt, device=device, tell=screen.tell
        )
    if as_json:
        _print_json(summary)
    else:
        screen.scores(summary, str(data))
        screen.say(f"report {out / 'report.html'}")
    _finish(screen, problems)


@app.command(epilog="Example: `bioseg predict runs/mine new-pictures scan.dcm --out masks --probabilities`")
def predict(
    model: Annotated[Path, typer.Argument(help="A run folder, or a name from `bioseg models`.")],
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Out,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write 16-bit probability maps too.")] = False,
    translator: First = None,
    adapt: Adapt = False,
    device: Device = "auto",
) -> None:
    """Outline pictures: a 0/255 mask a picture, in its own size, and measurements.csv."""
    from bioseg.inference.predictor import Predictor
    from bioseg.inference.translator import Translator
    from bioseg.workflows import adapt as adapting
    from bioseg.workflows import predict as work

    pictures = work.find_pictures(paths)
    predictor = Predictor.open(model, device)
    if translator:
        predictor.before = Translator.open(translator, device).translate
    with _screen() as screen:
        if adapt:
            cases = [Case(path.stem, path.stem, path) for path in pictures]
            screen.say(f"adapted to {adapting.adapt(predictor, cases)} pictures")
        count, problems = work.predict(
            predictor,
            pictures,
            out,
            probabilities=probabilities,
            progress=lambda d, n: screen.tell("outlining", d, n, ""),
            say=screen.say,
        )
    screen.say(f"{count} of {len(pictures)} pictures outlined in {out}")
    _finish(screen, problems)


@app.command(epilog="Example: `bioseg translate runs/cyclegan jsrt-pictures --out as-montgomery --figure sheet.png`")
def translate(
    model: Annotated[Path, typer.Argument(help="A run folder of a CycleGAN.")],
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Out,
    backwards: Annotated[
        bool, typer.Option("--backwards", help="From the look of the target to the source's.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(help="PNG to write of the first five: as they are, translated, reconstructed.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Give pictures the look of another source: an 8-bit grey PNG a picture, in its own size."""
    from bioseg.inference.translator import Translator
    from bioseg.workflows.predict import find_pictures
    from bioseg.workflows.translate import translate as work

    pictures = find_pictures(paths)
    opened = Translator.open(model, device)
    with _screen() as screen:
        count, problems = work(
            opened,
            pictures,
            out,
            backwards=backwards,
            figure=figure,
            progress=lambda d, n: screen.tell("translating", d, n, ""),
        )
    screen.say(f"{count} of {len(pictures)} pictures translated in {out}")
    _finish(screen, problems)


@app.command(epilog="Example: `bioseg report runs/mine runs/other --out comparison.html`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are put side by side.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write instead of report.html in the run, or comparison.html.",
        ),
    ] = None,
) -> None:
    """Write the page that explains a run, or compares several."""
    from bioseg.workflows.report import report as work

    _screen().say(str(work(runs, out)))


@app.command(epilog="Example: `bioseg compare runs/published runs/ours --score iou`")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders that train or evaluate wrote; the first is the base.")],
    score: Annotated[str, typer.Option(help="A column of scores.csv.")] = "dice",
    as_json: Json = False,
) -> None:
    """Put runs side by side: means, and differences picture by picture with 95 % intervals."""
    from bioseg.workflows.compare import compare_runs

    rows = compare_runs(runs, score=score)
    if as_json:
        _print_json(rows)
        return
    table = [
        [
            Path(row["run"]).name,
            str(row["cases"]),
            f"{row['mean']:.4f} ± {row['sd']:.4f}",
            _interval(row["ci95"]),
            *(
                (
                    f"{row['difference']:+.4f}",
                    _interval(row["difference_ci95"], "+.4f"),
                    f"{row['better']} / {row['worse']}",
                )
                if "difference" in row
                else ("", "", "")
            ),
        ]
        for row in rows
    ]
    head = ["run", "pictures", f"{score}, mean ± SD", "95 % interval", "difference", "95 % interval", "better / worse"]
    _screen().table(head, table)


@app.command(epilog="Examples: `bioseg models` · `bioseg predict ct-lungs slices --out masks`")
def models(as_json: Json = False) -> None:
    """List the trained models that come with bioseg; each is opened by its name."""
    from bioseg.workflows.models import describe_models

    rows = describe_models()
    if as_json:
        _print_json(rows)
        return
    table = [
        [row["name"], row["task"], f"{row['dice']:.3f}", row["judged_on"], f"{row['megabytes']} MB", row["card"]]
        for row in rows
    ]
    _screen().table(["model", "task", "Dice", "judged on", "size", "model card"], table)


@data_app.command("check", epilog="Example: `bioseg data check pictures`")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Any folder of pictures and masks.")], as_json: Json = False
) -> None:
    """Say what was paired, left over, unreadable, of another size, empty."""
    from bioseg.data import folders

    with _screen() as screen:
        account = folders.examine(
            folders.pair(folder), progress=lambda done, total: screen.tell("opening", done, total, "")
        )
    if as_json:
        _print_json(folders.to_json(account))
    else:
        screen.say("\n".join(folders.account_lines(account)))
    raise typer.Exit(0 if account.clean else 1)


@app.command(epilog="Examples: `bioseg demo` · `bioseg demo --data pictures --out demo`")
def demo(
    out: Out = Path("demo"),
    data: Annotated[
        Path | None, typer.Option("--data", help="Your own pictures and masks; by default phantoms.")
    ] = None,
) -> None:
    """Go the whole way once, in a few minutes: data, training, evaluation, prediction, report."""
    from bioseg.workflows.demo import demo as work

    with _screen() as screen:
        page, problems = work(out, data, tell=screen.tell, say=screen.say)
    screen.say(f"the report: {page.resolve()}")
    _finish(screen, problems)


@app.command(epilog="Example: `bioseg doctor --json`")
def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, PyTorch, GPU, memory, disk, and a network's speed."""
    from bioseg.workflows.inventory import examine_machine

    facts, healthy = examine_machine()
    if as_json:
        _print_json(facts)
    else:
        _screen().table(["what", "found"], [[key, str(value)] for key, value in facts.items()])
    raise typer.Exit(0 if healthy else 1)


app.command(epilog=f"Example: `bioseg trials {SETS} --minutes 30`")(studies.trials)
app.command(epilog=f"Example: `bioseg ladder {SETS}`")(studies.ladder)


def main() -> None:
    """Run the command line; a fault a person can mend is one line on standard error and exit code 1."""
    try:
        app()
    except BiosegError as fault:
        _screen().complain(str(fault))
        sys.exit(1)
    except KeyboardInterrupt:
        _screen().complain("stopped; what was finished is kept (train goes on with --resume)")
        sys.exit(130)


def _train_translator(order: "TranslatorOrder") -> None:
    from bioseg.workflows.train_translator import train_translator

    with _screen() as screen:
        problems = train_translator(order, tell=screen.tell, say=screen.say)
    screen.say(f"model    {order.out}\nfigures  {order.out / 'figures'}")
    _finish(screen, problems)


def _screen() -> "Screen":
    from bioseg.screen import Screen

    return Screen()


def _finish(screen: "Screen", problems: list[Problem]) -> None:
    """Report what was left out, and say so by the exit code."""
    for problem in problems:
        screen.complain(problem.reason)
    if problems:
        screen.complain(f"{len(problems)} left out, the reasons above; the rest is done")
    raise typer.Exit(1 if problems else 0)


def _interval(bounds: list[float], pattern: str = ".4f") -> str:
    low, high = bounds
    return "–" if low != low else f"{low:{pattern}} … {high:{pattern}}"


def _print_json(value: Any) -> None:
    from bioseg.files import without_nan

    print(json.dumps(without_nan(value), indent=2))


if __name__ == "__main__":
    main()
