"""The whole way once, small: data, training, evaluation, prediction, report."""

from collections.abc import Callable
from pathlib import Path

from bioseg.data import phantom_layouts
from bioseg.inference.predictor import Predictor
from bioseg.recipes import auto
from bioseg.types import Problem
from bioseg.workflows import evaluate, predict, train


def demo(out: Path, data: Path | None, *, tell: train.Tell, say: Callable[[str], None]) -> tuple[Path, list[Problem]]:
    """Train briefly on ``data``, or on phantom nuclei written to ``out``, and use the result.

    Returns:
        The report, and what was left out on the way.
    """
    fresh: Path | None = None
    run, masks = out / "run", out / "masks"
    if data is None:
        data, fresh = out / "phantoms", out / "new-phantoms"
        say(f"1/4 writing phantom nuclei to {data}")
        phantom_layouts.write_nuclei(data, count=48, seed=1, size_px=128)
        phantom_layouts.write_nuclei(fresh, count=8, seed=2, size_px=128)
    else:
        say(f"1/4 using the pictures in {data}")
        run, masks = (folder.with_name(f"{folder.name}-{data.resolve().name}") for folder in (run, masks))
    say("2/4 training")
    recipe = auto.RECIPE
    epochs = min(24, max(2, 1200 // len(recipe.list_cases(data))))  # about a minute and a half without a GPU
    order = train.Order(
        recipe,
        data,
        run,
        settings=(f"training.epochs={epochs}",),
        command=f"bioseg demo --out {out}",
        resume=run.exists(),
    )
    outcome = train.train(order, tell=tell, say=say)
    problems = list(outcome.problems)
    if fresh:
        say(f"3/4 evaluating on {fresh}, which it has not seen")
        scores, faults = evaluate.evaluate(run, fresh, out / "scores", tell=tell)
        say(f"    mean Dice {scores['dice']['mean']:.3f} on {scores['cases']} pictures")
        problems += faults
    else:
        held = outcome.summary
        say(f"3/4 evaluated: mean Dice {held['dice']['mean']:.3f} on {held['cases']} pictures it did not learn from")
    say(f"4/4 outlining to {masks}")
    predictor = Predictor.open(run)
    count, faults = predict.predict(
        predictor,
        predict.find_pictures([fresh or data]),
        masks,
        progress=lambda done, total: tell("outlining", done, total, ""),
    )
    say(f"    {count} masks and measurements.csv")
    return outcome.report, problems + faults
