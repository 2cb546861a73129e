"""The whole way once, small: data, training, evaluation, prediction, report."""

from collections.abc import Callable
from pathlib import Path

from bioseg import recipes
from bioseg.data import phantom_layouts
from bioseg.inference.predictor import Predictor
from bioseg.types import Problem
from bioseg.workflows import evaluate, predict, train


def demo(out: Path, data: Path | None, *, tell: train.Tell, say: Callable[[str], None]) -> tuple[Path, list[Problem]]:
    """Train briefly on ``data``, or on phantom nuclei written to ``out``, and use the result.

    Returns:
        The report, and what was left out on the way.
    """
    settings: tuple[str, ...] = ()
    fresh: Path | None = None
    if data is None:
        data, fresh = out / "phantoms", out / "new-phantoms"
        say(f"1/4 writing phantom nuclei to {data}")
        phantom_layouts.write_nuclei(data, count=48, seed=1, size_px=128)
        phantom_layouts.write_nuclei(fresh, count=8, seed=2, size_px=128)
        settings = ("training.epochs=6",)
    else:
        say(f"1/4 using the pictures in {data}")
        settings = ("training.epochs=4",)
    run = out / ("run" if fresh else f"run-{data.resolve().name}")
    say("2/4 training")
    order = train.Order(
        recipes.get("auto"), data, run, settings=settings, command=f"bioseg demo --out {out}", resume=run.exists()
    )
    outcome = train.train(order, tell=tell, say=say)
    problems = list(outcome.problems)
    if fresh:
        say(f"3/4 evaluating on {fresh}, which it has not seen")
        _, faults = evaluate.evaluate(run, fresh, out / "scores", tell=tell)
        problems += faults
    else:
        say("3/4 evaluated on the pictures held out of training")
    say(f"4/4 outlining to {out / 'masks'}")
    predictor = Predictor.open(run)
    count, faults = predict.predict(
        predictor,
        predict.find_pictures([fresh or data]),
        out / "masks",
        progress=lambda done, total: tell("outlining", done, total, ""),
    )
    say(f"    {count} masks and measurements.csv")
    return outcome.report, problems + faults
