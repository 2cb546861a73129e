"""The command line: reads arguments, calls, prints. Exit code 0: all well; 1: something could not be used; 2: usage."""

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bioseg.cli import common, converting, exporting, listing, studies
from bioseg.cli.common import Channel, Device, Json, Plane, examples
from bioseg.cli.configuring import Config, models_like, recipes_like
from bioseg.cli.processor import share_processor
from bioseg.types import BiosegError, Callbacks

if TYPE_CHECKING:
    from bioseg.pipelines.train_translator import TranslatorJob

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

Data = Annotated[Path, typer.Option("--data", help="Folder of images and masks.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Model = Annotated[
    str,
    typer.Argument(help="A run folder, a .bioseg file, or a name from `bioseg models`.", autocompletion=models_like),
]
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
Backend = Annotated[str, typer.Option("--backend", help="auto, torch; for a model file auto, onnx, openvino.")]


@app.command(
    epilog=examples(
        "bioseg train auto --data images --out runs/mine",
        "bioseg train auto --data images --out runs/mine --resume",
        "bioseg train --init cxr-lungs --data images --out runs/tuned",
        "bioseg train nuclei --data stage1_train --out runs/n --set training.seed=1",
        "bioseg train nuclei --config my.toml --set training.seed=2 --track mlflow",
        "bioseg train cxr-cyclegan-unet --data JSRT --target Montgomery --out runs/gan",
    )
)
def train(
    data: Data,
    out: Out,
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A name from `bioseg recipes`; `auto` suits any folder; or my_recipe.py. None: of --init.",
            autocompletion=recipes_like,
        ),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--target", help="For a translation model: folder of images of the target domain.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Cross-validate with this many folds, patients kept apart.")] = 0,
    split: Annotated[
        Path | None, typer.Option("--split", help="Table with the columns id and part, instead of the recipe's split.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Short for --set training.epochs=N.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="path=value; may be repeated.")] = None,
    config: Config = None,
    track: Annotated[
        list[str] | None, typer.Option("--track", help="mlflow, wandb, tensorboard or csv; may be repeated.")
    ] = None,
    channel: Channel = "",
    plane: Plane = "",
    init: Annotated[
        str | None,
        typer.Option("--init", help="Start from a model: a run folder, a name from `bioseg models`, .safetensors."),
    ] = None,
    init_part: Annotated[str, typer.Option("--init-part", help="What of it: all that fits, or the encoder.")] = "all",
    freeze: Annotated[int | None, typer.Option(help="Short for --set training.freeze_epochs=N.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run that lies in --out; --epochs may be more than it had.")
    ] = False,
    device: Device = "auto",
    allow_code: AllowCode = False,
) -> None:
    """Train a recipe on a folder, evaluate it and write a report; or a translation model on two folders."""
    from bioseg import config_file, tracking, user_code
    from bioseg.datasets.splits import from_csv
    from bioseg.pipelines.initial import open_initial, recipe_to_go_on_with
    from bioseg.pipelines.train import TrainJob
    from bioseg.pipelines.train import train as work
    from bioseg.recipe import TranslationRecipe
    from bioseg.settings import channel_settings
    from bioseg.specs import call

    short = {"training.epochs": epochs, "training.freeze_epochs": freeze}
    asked = (*(settings or []), *(f"{name}={value}" for name, value in short.items() if value is not None))
    start = open_initial(init, init_part, folds=folds, allow_code=allow_code) if init else None
    how = (
        user_code.get_recipe(recipe, allow=allow_code)
        if recipe
        else recipe_to_go_on_with(start, out, resume=resume, allow_code=allow_code)
    )
    command = " ".join(["bioseg", *sys.argv[1:]])
    file = config_file.read(config) if config else None
    if file:
        file.applied(how)
    text, given = (file.text, file.settings) if file else ("", ())
    tracked = tracking.by_name(track or ())
    if isinstance(how, TranslationRecipe):
        if target is None or folds or split or init or channel:
            raise BiosegError(
                f"{recipe}: trains a translation model; give --target, and none of --folds, --split, --init and --channel"
            )
        from bioseg.pipelines.train_translator import TranslatorJob

        _train_translator(
            TranslatorJob(how, data, target, out, (*given, *asked), resume, device, command, text), tracked
        )
        return
    if target:
        raise BiosegError(f"--target {target}: {recipe} trains a segmentation model, which has none; leave it out")
    asked = (*given, *channel_settings(how, common.words(channel)), *asked)
    part = call(from_csv, path=str(split)) if split else None
    job = TrainJob(
        how, data, out, folds, part, asked, resume, device, command, allow_code, init=start, config=text, plane=plane
    )
    with common.screen() as screen:
        result = work(job, common.callbacks(screen) + tracked)
    screen.scores(result.summary, "validation images")
    if result.test:
        screen.scores(result.test, "test images")
    screen.log(f"model  {out}\nreport {result.report}")
    common.finish(screen, result.problems)


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
    channel: Channel = "",
    plane: Plane = "",
    device: Device = "auto",
    backend: Backend = "auto",
    allow_code: AllowCode = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Score a model on images with masks: scores.csv, summary.json, figures, report.html."""
    from bioseg.pipelines.evaluate import EvaluateJob
    from bioseg.pipelines.evaluate import evaluate as work

    with common.screen() as screen:
        options = (translator, adapt, unseen_only, device, allow_code, backend, common.words(channel), plane)
        job = EvaluateJob(model, data, out, *options)
        log = screen.error if as_json else screen.log  # standard output holds JSON alone
        summary, problems = work(job, Callbacks(screen.progress, log))
    if as_json:
        common.print_json(summary)
    else:
        screen.scores(summary, str(data))
        screen.log(f"report {out / 'report.html'}")
    common.finish(screen, problems)


@app.command(
    epilog=examples(
        "bioseg predict nuclei images --out masks",
        "bioseg predict runs/mine new-images scan.dcm --out masks --probabilities",
        "bioseg predict nuclei images --out cells --save overlay,rois,csv",
        "bioseg predict ct-lungs scan.nii.gz --plane 40-60 --out lungs --save nifti,csv",
    )
)
def predict(
    model: Model,
    paths: Annotated[list[Path], typer.Argument(help="Images, or folders of them.")],
    out: Out,
    save: Annotated[
        str,
        typer.Option(
            "--save",
            help="Any of mask,labels,labels-tiff,overlay,rois,geojson,nifti,dicom-seg,dicom-seg-sides,dicom-sr,csv.",
        ),
    ] = "",
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Write 16-bit probability maps too.")] = False,
    channel: Channel = "",
    plane: Plane = "",
    level: Annotated[int, typer.Option("--level", min=0, help="Of a pyramid (OME-TIFF, SVS), 0 for the largest.")] = 0,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Write DICOM PatientIDs into tables, not hashes of them.")
    ] = False,
    translator: Translate = None,
    adapt: Adapt = False,
    device: Device = "auto",
    backend: Backend = "auto",
    allow_code: AllowCode = False,
    config: Config = None,
) -> None:
    """Segment images: a 0/255 mask per image, on its own grid, and measurements.csv; or what --save names."""
    from bioseg.pipelines.inputs import find_images, refuse_missing
    from bioseg.pipelines.open import open_predictor, open_translator
    from bioseg.pipelines.predict import predict as work

    refuse_missing(paths)
    with common.screen() as screen:
        predictor = open_predictor(model, device, allow_code=allow_code, backend=backend)
        if channel:
            predictor = predictor.with_channels(*common.words(channel))
        found = find_images(paths, common.callbacks(screen), predictor.recipe, plane)
        cases = [replace(case, level=level) for case in found]
        if translator:
            from bioseg.pipelines.translate import translating

            predictor = translating(predictor, open_translator(translator, device))
        if adapt:
            from bioseg.pipelines.adapt import adapted

            predictor, used = adapted(predictor, cases)
            screen.log(f"adapted to {used} images")
        _, problems = work(
            predictor, cases, out, save=save, probabilities=probabilities, identifiers=identifiers,
            callbacks=common.callbacks(screen),
        )  # fmt: skip
    common.finish(screen, problems)


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
    from bioseg.pipelines.inputs import find_images
    from bioseg.pipelines.open import open_translator
    from bioseg.pipelines.translate import translate as work

    cases = find_images(paths)
    opened = open_translator(model, device)
    with common.screen() as screen:
        count, problems = work(
            opened, cases, out, backwards=backwards, figure=figure, callbacks=common.callbacks(screen)
        )
    screen.log(f"{count} of {len(cases)} images translated in {out}")
    common.finish(screen, problems)


@app.command(epilog=examples("bioseg demo", "bioseg demo --data images --out demo"))
def demo(
    out: Out = Path("demo"),
    data: Annotated[Path | None, typer.Option("--data", help="Your own images and masks; by default phantoms.")] = None,
) -> None:
    """Run every step once, in a few minutes: data, training, evaluation, prediction, report."""
    from bioseg.pipelines.demo import demo as work

    with common.screen() as screen:
        page, problems = work(out, data, common.callbacks(screen))
    screen.log(f"report {page.resolve()}")
    common.finish(screen, problems)


app.command(epilog=examples("bioseg recipes", "bioseg recipes nuclei", "bioseg recipes --json"))(listing.recipes)
app.command(epilog=examples("bioseg report runs/mine", "bioseg report runs/mine runs/other --out comparison.html"))(
    listing.report
)
app.command(epilog=examples("bioseg compare runs/published runs/ours --score iou"))(listing.compare)
app.command(epilog=examples("bioseg models", "bioseg predict ct-lungs slices --out masks"))(listing.models)
data_app.command("check", epilog=examples("bioseg data check images", "bioseg data check images --report page.html"))(
    listing.data_check
)
data_app.command("convert", epilog=examples("bioseg data convert annotated as-coco --to coco"))(converting.data_convert)
app.command(epilog=examples("bioseg doctor", "bioseg doctor --json"))(listing.doctor)
app.command("export", epilog=examples("bioseg export runs/mine --out mine.bioseg"))(exporting.export)
SETS = "--montgomery M --jsrt J --shenzhen S --out study"
study_app.command("cross-hospital", epilog=examples(f"bioseg study cross-hospital {SETS}"))(studies.cross_hospital)
study_app.command("adaptation", epilog=examples(f"bioseg study adaptation {SETS}"))(studies.adaptation)


def main() -> None:
    """Run the command line; a fault a person can mend is one line on standard error and exit code 1."""
    share_processor()
    warnings.filterwarnings("ignore", module="pydicom|highdicom")  # about headers that others wrote
    logging.getLogger("roifile").addHandler(logging.NullHandler())  # what is wrong with a file is said once, by us
    try:
        app(prog_name="bioseg")
    except BiosegError as fault:
        common.screen().error(str(fault))
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            common.screen().error(
                "interrupted; what is finished is kept, and the same command goes on with it (train: with --resume)"
            )
        raise


def _train_translator(job: "TranslatorJob", tracked: Callbacks) -> None:
    from bioseg.pipelines.train_translator import train_translator

    with common.screen() as screen:
        problems = train_translator(job, common.callbacks(screen) + tracked)
    screen.log(f"model    {job.out}\nfigures  {job.out / 'figures'}")
    common.finish(screen, problems)
