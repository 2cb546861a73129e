"""The command line: reads arguments, calls, prints. Exit code 0: all well; 1: something could not be used; 2: usage."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bioseg.cli import exporting, studies
from bioseg.cli.processor import share_processor
from bioseg.types import BiosegError, Callbacks, Problem

if TYPE_CHECKING:
    from bioseg.cli.console import Screen
    from bioseg.recipe import TranslationRecipe

app = typer.Typer(
    name="bioseg",
    help="Segment 2-D medical and microscopy images with U-Nets: train, evaluate, predict, report.\n\n"
    "Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Check data before training on it.", no_args_is_help=True)
study_app = typer.Typer(help="Run a whole study and write its table.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")

INTERRUPTED = 130
"""Exit code that Typer makes of Ctrl-C."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of images and masks.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Model = Annotated[str, typer.Argument(help="A run folder, a .bioseg file, or a name from `bioseg models`.")]
Translate = Annotated[
    Path | None,
    typer.Option("--translate", help="Translate the images to another domain first: run folder of a CycleGAN."),
]
Adapt = Annotated[
    bool,
    typer.Option("--adapt", help="Re-estimate batch-norm statistics from these images first (domain adaptation)."),
]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Run code that is not bioseg's: a recipe of your own, or a run made with one."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …")]
Backend = Annotated[str, typer.Option("--backend", help="auto, torch; for a model file auto, onnx, openvino.")]


def examples(*lines: str) -> str:
    """The epilogue of a command's help, one example per line; 78 characters or fewer each fit a terminal of 80 columns."""
    return "\n\n".join(["Examples:", *(f"`{line}`" for line in lines)])


@app.command(epilog=examples("bioseg recipes", "bioseg recipes --json"))
def recipes(as_json: Json = False) -> None:
    """List the recipes: name, task, purpose, parameters."""
    from bioseg.pipelines.machine import describe_recipes

    rows = describe_recipes()
    if as_json:
        _print_json(rows)
    else:
        _screen().table(["recipe", "task", "purpose", "parameters"], [[*map(str, row.values())] for row in rows])


@app.command(
    epilog=examples(
        "bioseg train auto --data images --out runs/mine",
        "bioseg train auto --data images --out runs/mine --resume",
        "bioseg train nuclei --data stage1_train --out runs/n --set training.seed=1",
        "bioseg train cxr-cyclegan-unet --data JSRT --target Montgomery --out runs/gan",
    )
)
def train(
    recipe: Annotated[
        str, typer.Argument(help="A name from `bioseg recipes`; `auto` suits any folder; or my_recipe.py.")
    ],
    data: Data,
    out: Out,
    target: Annotated[
        Path | None, typer.Option("--target", help="For a translation model: folder of images of the target domain.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Cross-validate with this many folds, patients kept apart.")] = 0,
    split: Annotated[
        Path | None, typer.Option("--split", help="Table with the columns id and part, instead of the recipe's split.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set training.epochs=N.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="path=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run that lies in --out.")] = False,
    device: Device = "auto",
    allow_code: AllowCode = False,
) -> None:
    """Train a recipe on a folder, evaluate it and write a report; or a translation model on two folders."""
    from bioseg import user_code
    from bioseg.datasets.splits import from_csv
    from bioseg.pipelines.train import TrainJob
    from bioseg.pipelines.train import train as work
    from bioseg.recipe import TranslationRecipe
    from bioseg.specs import call

    asked = (*(settings or []), *([f"training.epochs={epochs}"] if epochs is not None else []))
    how, command = user_code.get_recipe(recipe, allow=allow_code), " ".join(["bioseg", *sys.argv[1:]])
    if isinstance(how, TranslationRecipe):
        if target is None or folds or split:
            raise BiosegError(f"{recipe}: trains a translation model; give --target, and neither --folds nor --split")
        _train_translator(how, data, target, out, asked, resume, device, command)
        return
    if target:
        raise BiosegError(f"--target {target}: {recipe} trains a segmentation model, which has none; leave it out")
    part = call(from_csv, path=str(split)) if split else None
    job = TrainJob(how, data, out, folds, part, asked, resume, device, command, allow_code)
    with _screen() as screen:
        result = work(job, _callbacks(screen))
    screen.scores(result.summary, "validation images")
    if result.test:
        screen.scores(result.test, "test images")
    screen.log(f"model  {out}\nreport {result.report}")
    _finish(screen, result.problems)


@app.command(
    epilog=examples(
        "bioseg evaluate runs/mine --data other-hospital --out scores/other",
        "bioseg evaluate cxr-lungs --data JSRT --out scores/jsrt --unseen-only",
    )
)
def evaluate(
    model: Model,
    data: Data,
    out: Out,
    translator: Translate = None,
    adapt: Adapt = False,
    unseen_only: Annotated[
        bool, typer.Option("--unseen-only", help="Leave out cases that trained or chose the model.")
    ] = False,
    device: Device = "auto",
    backend: Backend = "auto",
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Score a model on images with masks: scores.csv, summary.json, figures, report.html."""
    from bioseg.pipelines.evaluate import EvaluateJob
    from bioseg.pipelines.evaluate import evaluate as work

    with _screen() as screen:
        job = EvaluateJob(model, data, out, translator, adapt, unseen_only, device, allow_code, backend)
        log = screen.error if as_json else screen.log  # standard output holds JSON alone
        summary, problems = work(job, Callbacks(screen.progress, log))
    if as_json:
        _print_json(summary)
    else:
        screen.scores(summary, str(data))
        screen.log(f"report {out / 'report.html'}")
    _finish(screen, problems)


@app.command(
    epilog=examples(
        "bioseg predict nuclei images --out masks",
        "bioseg predict runs/mine new-images scan.dcm --out masks --probabilities",
    )
)
def predict(
    model: Model,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Out,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write 16-bit probability maps too.")] = False,
    translator: Translate = None,
    adapt: Adapt = False,
    device: Device = "auto",
    backend: Backend = "auto",
    allow_code: AllowCode = False,
) -> None:
    """Segment images: a 0/255 mask per image, on its own grid, and measurements.csv."""
    from bioseg.pipelines.open import open_predictor, open_translator
    from bioseg.pipelines.predict import find_images
    from bioseg.pipelines.predict import predict as work

    cases = find_images(paths)
    predictor = open_predictor(model, device, allow_code=allow_code, backend=backend)
    if translator:
        from bioseg.pipelines.translate import translating

        predictor = translating(predictor, open_translator(translator, device))
    with _screen() as screen:
        if adapt:
            from bioseg.pipelines.adapt import adapted

            predictor, used = adapted(predictor, cases)
            screen.log(f"adapted to {used} images")
        count, problems = work(predictor, cases, out, probabilities=probabilities, callbacks=_callbacks(screen))
    screen.log(f"{count} of {len(cases)} images segmented in {out}")
    _finish(screen, problems)


@app.command(epilog=examples("bioseg translate runs/gan JSRT --out as-montgomery --figure examples.png"))
def translate(
    model: Annotated[str, typer.Argument(help="Run folder of a CycleGAN.")],
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Out,
    backwards: Annotated[bool, typer.Option("--backwards", help="From the target domain to the source.")] = False,
    figure: Annotated[
        Path | None, typer.Option(help="PNG of the first five images to write: original, translated, reconstructed.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Translate images to another domain: an 8-bit grey PNG per image, on its own grid."""
    from bioseg.pipelines.open import open_translator
    from bioseg.pipelines.predict import find_images
    from bioseg.pipelines.translate import translate as work

    cases = find_images(paths)
    opened = open_translator(model, device)
    with _screen() as screen:
        count, problems = work(opened, cases, out, backwards=backwards, figure=figure, callbacks=_callbacks(screen))
    screen.log(f"{count} of {len(cases)} images translated in {out}")
    _finish(screen, problems)


@app.command(epilog=examples("bioseg report runs/mine", "bioseg report runs/mine runs/other --out comparison.html"))
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are compared.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write instead of report.html in the run, or comparison.html."),
    ] = None,
) -> None:
    """Write the page that explains a run, or compares several."""
    from bioseg.pipelines.report import report as work

    _screen().log(str(work(runs, out)))


@app.command(epilog=examples("bioseg compare runs/published runs/ours --score iou"))
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
        _print_json(rows)
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
    _screen().table(head, table)


@app.command(epilog=examples("bioseg models", "bioseg predict ct-lungs slices --out masks"))
def models(as_json: Json = False) -> None:
    """List the pretrained models; each is opened by its name."""
    from bioseg.pipelines.models import describe_models

    rows = describe_models()
    if as_json:
        _print_json(rows)
        return
    table = [
        [row["name"], row["task"], f"{row['dice']:.3f}", row["evaluated_on"], f"{row['megabytes']} MB"] for row in rows
    ]
    screen = _screen()
    screen.table(["model", "task", "Dice", "evaluated on", "size"], table)
    screen.log("model cards:\n" + "\n".join(row["card"] for row in rows))


@data_app.command("check", epilog=examples("bioseg data check images", "bioseg data check images --json"))
def data_check(
    folder: Annotated[Path, typer.Argument(help="Any folder of images and masks.")], as_json: Json = False
) -> None:
    """Check a data set: what was paired, left over, unreadable, of another size, empty or suspicious."""
    from bioseg.datasets import folders, inspection

    with _screen() as screen:
        scan = inspection.inspect(folders.scan(folder), progress=_callbacks(screen).counter("opening"))
    if as_json:
        _print_json(inspection.to_json(scan))
    else:
        screen.log("\n".join(inspection.scan_lines(scan)))
    raise typer.Exit(0 if scan.clean else 1)


@app.command(epilog=examples("bioseg demo", "bioseg demo --data images --out demo"))
def demo(
    out: Out = Path("demo"),
    data: Annotated[Path | None, typer.Option("--data", help="Your own images and masks; by default phantoms.")] = None,
) -> None:
    """Run every step once, in a few minutes: data, training, evaluation, prediction, report."""
    from bioseg.pipelines.demo import demo as work

    with _screen() as screen:
        page, problems = work(out, data, _callbacks(screen))
    screen.log(f"report {page.resolve()}")
    _finish(screen, problems)


@app.command(epilog=examples("bioseg doctor", "bioseg doctor --json"))
def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, PyTorch, GPU, memory, disk, codecs, and the speed of a network."""
    from bioseg.pipelines.machine import examine_machine

    facts, healthy = examine_machine()
    if as_json:
        _print_json(facts)
    else:
        _screen().table(["what", "found"], [[key, str(value)] for key, value in facts.items()])
    raise typer.Exit(0 if healthy else 1)


app.command("export", epilog=examples("bioseg export runs/mine --out mine.bioseg"))(exporting.export)
SETS = "--montgomery M --jsrt J --shenzhen S --out study"
study_app.command("cross-hospital", epilog=examples(f"bioseg study cross-hospital {SETS}"))(studies.cross_hospital)
study_app.command("adaptation", epilog=examples(f"bioseg study adaptation {SETS}"))(studies.adaptation)


def main() -> None:
    """Run the command line; a fault a person can mend is one line on standard error and exit code 1."""
    share_processor()
    try:
        app(prog_name="bioseg")
    except BiosegError as fault:
        _screen().error(str(fault))
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _screen().error(
                "interrupted; what is finished is kept, and the same command goes on with it (train: with --resume)"
            )
        raise


def _train_translator(
    recipe: "TranslationRecipe", data: Path, target: Path, out: Path, settings: tuple[str, ...], resume: bool, device: str,
    command: str,
) -> None:  # fmt: skip
    from bioseg.pipelines.train_translator import TranslatorJob, train_translator

    job = TranslatorJob(recipe, data, target, out, settings, resume, device, command)
    with _screen() as screen:
        problems = train_translator(job, _callbacks(screen))
    screen.log(f"model    {out}\nfigures  {out / 'figures'}")
    _finish(screen, problems)


def _screen() -> "Screen":
    from bioseg.cli.console import Screen

    return Screen()


def _callbacks(screen: "Screen") -> Callbacks:
    return Callbacks(screen.progress, screen.log, screen.epoch)


def _finish(screen: "Screen", problems: list[Problem]) -> None:
    """Report what was left out, and say so by the exit code."""
    for problem in problems:
        screen.error(problem.reason)
    if problems:
        screen.error(f"{len(problems)} left out, the reasons above; the rest is done")
    raise typer.Exit(1 if problems else 0)


def _print_json(value: Any) -> None:
    from bioseg.files import without_nan

    print(json.dumps(without_nan(value), indent=2))
