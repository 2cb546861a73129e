"""The whole way once, small: data, training, evaluation, prediction, report."""

from pathlib import Path

from bioseg.datasets import phantom_layouts
from bioseg.pipelines import predict
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipes import auto
from bioseg.types import SILENT, Callbacks, Problem


def demo(out: Path, data: Path | None, callbacks: Callbacks = SILENT) -> tuple[Path, list[Problem]]:
    """Train briefly on ``data``, or on phantom nuclei written to ``out``, and use the result.

    Returns:
        The report, and what was left out on the way.
    """
    fresh: Path | None = None
    run, masks = out / "run", out / "masks"
    if data is None:
        data, fresh = out / "phantoms", out / "new-phantoms"
        callbacks.log(f"1/4 writing phantom nuclei to {data}")
        phantom_layouts.write_nuclei(data, count=48, seed=1, size_px=128)
        phantom_layouts.write_nuclei(fresh, count=8, seed=2, size_px=128)
    else:
        callbacks.log(f"1/4 using the images in {data}")
        run, masks = (folder.with_name(f"{folder.name}-{data.resolve().name}") for folder in (run, masks))
    callbacks.log("2/4 training")
    recipe = auto.RECIPE
    epochs = min(24, max(2, 1200 // len(recipe.layout(data))))  # about a minute and a half without a GPU
    settings = (f"training.epochs={epochs}",)
    command = f"bioseg demo --out {out}"
    result = train(TrainJob(recipe, data, run, settings=settings, command=command, resume=run.exists()), callbacks)
    problems = list(result.problems)
    if fresh:
        callbacks.log(f"3/4 evaluating on {fresh}, which the model has not seen")
        scores, faults = evaluate(EvaluateJob(run, fresh, out / "scores"), callbacks)
        callbacks.log(f"    mean Dice {scores['dice']['mean']:.3f} on {scores['cases']} images")
        problems += faults
    else:
        held = result.summary
        callbacks.log(f"3/4 evaluated: mean Dice {held['dice']['mean']:.3f} on {held['cases']} validation images")
    callbacks.log(f"4/4 segmenting to {masks}")
    cases = predict.find_images([fresh or data])
    count, faults = predict.predict(open_predictor(run), cases, masks, callbacks=callbacks)
    callbacks.log(f"    {count} masks and measurements.csv")
    return result.report, problems + faults
