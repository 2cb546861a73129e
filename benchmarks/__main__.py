"""``make bench``: our networks and training loop beside plain PyTorch on the same batches, alternating, in one run.

Then a prediction beside a busy process (:mod:`benchmarks.neighbour`), and the time that each reference recipe and ours take to
the score that the study reports. Ratios are of medians. Prints tables and writes ``benchmarks/latest.json``. Real archives are
used where they are (``BIOSEG_ARCHIVES``), phantoms elsewhere. ``python -m benchmarks --quick`` measures everything but the time
to the score, once and on few phantoms, to see that it runs.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks import neighbour, plain, time_to_score
from bioseg import recipes
from bioseg.datasets import augment, phantom_layouts
from bioseg.datasets.layouts import nuclei
from bioseg.datasets.samples import load
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.device import MEMORY_FORMAT, autocast, choose, place
from bioseg.models import residual_fcn
from bioseg.models.unet import ct_unet, cxr_unet, lv_unet, nuclei_unet
from bioseg.recipe import SegmentationRecipe
from bioseg.training import losses
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run

ARCHIVES = Path(os.environ.get("BIOSEG_ARCHIVES", Path(__file__).parents[2] / "shared" / "data"))
DEVICE = choose()
ROUNDS, BATCH, EPOCHS = 7, 8, 3
PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], int, int]] = {
    "cxr U-Net": (cxr_unet, plain.CxrUNet, 1, 256),
    "ct U-Net": (ct_unet, plain.CtUNet, 1, 128),
    "lv U-Net": (lv_unet, plain.LvUNet, 1, 128),
    "nuclei U-Net": (nuclei_unet, plain.NucleiUNet, 3, 128),
    "residual FCN": (residual_fcn.residual_fcn, plain.ResidualFcn, 1, 256),
}


def timed(work: Callable[[], object]) -> float:
    """Seconds, after the GPU has finished too."""
    started = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def in_turn(ours: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median seconds of both, alternating, after one round each to warm up."""
    times: list[tuple[float, float]] = []
    for index in range(rounds + 1):
        pair = (timed(ours), timed(other)) if index % 2 else tuple(reversed((timed(other), timed(ours))))
        times.append((pair[0], pair[1]))
    return statistics.median(a for a, _ in times[1:]), statistics.median(b for _, b in times[1:])


Step = Callable[[Tensor, Tensor], None]


def plain_step(network: nn.Module) -> Step:
    """A training step as a user writes it."""
    network.to(DEVICE).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_of = nn.BCEWithLogitsLoss()

    def step(images: Tensor, masks: Tensor) -> None:
        optimiser.zero_grad()
        loss = loss_of(network(images), masks)
        loss.backward()
        optimiser.step()

    return step


def our_step(network: nn.Module, recipe: SegmentationRecipe) -> Step:
    """A training step as :func:`fit_segmenter` does it."""
    place(network, DEVICE).train()
    optimiser = recipe.training.optimiser([{"params": network.parameters(), "lr": 1e-3}])

    def step(images: Tensor, masks: Tensor) -> None:
        with autocast(DEVICE):
            logits = network(images.contiguous(memory_format=MEMORY_FORMAT))
        loss = losses.binary_cross_entropy(logits, masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def networks(*, quick: bool) -> list[dict[str, Any]]:
    """Milliseconds per image, training and prediction, ours and plain."""
    rounds, count = (1, 2) if quick else (ROUNDS, BATCH)
    rows, recipe = [], recipes.get("nuclei-reference")
    for name, (ours, theirs, channels, full_size) in PAIRS.items():
        size = 32 if quick else full_size
        torch.manual_seed(0)
        images = torch.rand(count, channels, size, size, device=DEVICE)
        masks = (torch.rand(count, 1, size, size, device=DEVICE) > 0.5).float()
        mine, theirs_step = our_step(ours(), recipe), plain_step(theirs())
        train = in_turn(partial(mine, images, masks), partial(theirs_step, images, masks), rounds)
        backend, other = torch_backend(ours(), DEVICE), theirs().to(DEVICE).eval()

        batch = images.cpu().numpy()

        def plain_predict(other: nn.Module = other, batch: Any = batch) -> Any:
            with torch.no_grad():
                return other(torch.from_numpy(batch).to(DEVICE)).cpu().numpy()

        predict = in_turn(partial(backend, batch), plain_predict, rounds)
        rows.append({"network": name, "size": size, "train_ms": ms(train, count), "predict_ms": ms(predict, count)})
    return rows


def ms(pair: tuple[float, float], count: int) -> dict[str, float]:
    """Milliseconds per image, and ours as a share of plain."""
    return {"ours": 1000 * pair[0] / count, "plain": 1000 * pair[1] / count, "ratio": pair[0] / pair[1]}


def loading(folder: Path, *, quick: bool) -> dict[str, Any]:
    """Seconds to read and prepare the nuclei images with their masks, first and from the prepared cache."""
    data = folder / "nuclei"
    archive = ARCHIVES / "nuclei" / "stage1_train.zip"
    real = archive.exists() and not quick
    if real:
        zipfile.ZipFile(archive).extractall(data)
    else:
        phantom_layouts.write_nuclei(data, count=20 if quick else 440, seed=0, size_px=256)
    cases, how = nuclei.list_cases(data), recipes.get("nuclei-reference").preparation
    first = timed(lambda: load(cases, how, cache=folder / "cache"))
    again = timed(lambda: load(cases, how, cache=folder / "cache"))
    return {
        "images": len(cases),
        "masks": sum(len(case.masks) for case in cases),
        "real": real,
        "first_s": first,
        "cached_s": again,
        "samples": load(cases, how, cache=folder / "cache"),
    }


def loop(samples: Any, folder: Path, name: str, epochs: int = EPOCHS) -> dict[str, Any]:
    """A few epochs of the real loop, and how much of them was spent outside the network.

    The network's time is measured on the same batches without anything around it.
    """
    recipe = recipes.get("nuclei-reference")
    if name == "augmented":
        recipe = replace(
            recipe, augmentation=augment.strong_intensity(augment.Augmentation(rotation_deg=15, zoom=(0.8, 1.25)))
        )
    recipe = replace(recipe, training=replace(recipe.training, epochs=epochs))
    count = len(samples.cases)
    train, validation = samples.select(range(count * 9 // 10)), samples.select(range(count * 9 // 10, count))
    with Run(folder / f"run-{name}", {}, seed=0, device=DEVICE, resume=False) as run:
        whole = timed(lambda: fit_segmenter(run, recipe, train, validation))
    network, size = recipe.network(), recipe.training.batch_size
    step = our_step(network, recipe)
    batches = [(one.images.to(DEVICE), one.masks.to(DEVICE)) for one in train.batches(range(len(train.cases)), size)]
    step(*batches[0])  # to warm up
    bare = sum(timed(partial(step, *one)) for one in batches)
    backend = torch_backend(network, DEVICE)
    for one in validation.batches(range(len(validation.cases)), size):
        bare += timed(partial(backend, one.images.numpy()))
    return {"loop": name, "epoch_s": whole / epochs, "network_s": bare, "rest": 1 - bare * epochs / whole}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="once, on few phantoms, without the time to the score")
    quick = parser.parse_args().quick
    console = Console()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    console.print(
        f"PyTorch {torch.__version__} on {where}; medians of {1 if quick else ROUNDS}, ours and plain alternating"
    )
    rows = networks(quick=quick)
    console.print(speed_table(rows))
    neighbours = neighbour.main(rounds=1 if quick else 3, times=2 if quick else 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = loading(folder, quick=quick)
        samples = data.pop("samples")
        console.print(
            f"{data['images']} images with {data['masks']} masks ({'real' if data['real'] else 'phantoms'}): "
            f"{data['first_s']:.1f} s the first time, {data['cached_s']:.2f} s from the prepared cache"
        )
        loops = [loop(samples, folder, kind, 1 if quick else EPOCHS) for kind in ("as published", "augmented")]
    for one in loops:
        console.print(
            f"training loop, {one['loop']}: {one['epoch_s']:.1f} s per epoch, {100 * one['rest']:.1f} % of it not the network"
        )
    if quick:
        return
    scores = [time_to_score.measure(task, ARCHIVES) for task in time_to_score.TASKS]
    console.print(score_table(scores))
    result = {
        "time_to_score": scores, "torch": torch.__version__, "where": where, "networks": rows, "neighbour": neighbours,
        "loading": data, "loops": loops,
    }  # fmt: skip
    Path(__file__).with_name("latest.json").write_text(json.dumps(result, indent=2) + "\n")


def speed_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("network", "px", "train ms: ours", "plain", "ratio", "predict ms: ours", "plain", "ratio")
    for row in rows:
        t, p = row["train_ms"], row["predict_ms"]
        table.add_row(row["network"], str(row["size"]), *(f"{v:.2f}" for v in (*t.values(), *p.values())))
    return table


def score_table(scores: list[dict[str, Any]]) -> Table:
    table = Table("system", "score", "ours: s", "epochs", "reference: s", "epochs", "times as long")
    for row in scores:
        mine, theirs = row["ours"], row["reference"]
        table.add_row(
            row["system"] + ("" if row["real"] else " (phantoms)"),
            f"{row['score']} {row['reported']}" + ("" if mine["reached"] else f", ours only {mine['best']:.4f}"),
            f"{mine['seconds']:.1f}",
            str(mine["epochs"]),
            f"{theirs['seconds']:.1f}" + ("" if theirs["reached"] else f", at {theirs['best']:.4f}"),
            str(theirs["epochs"]),
            ("" if theirs["reached"] else "more than ") + f"{row['ratio']:.1f}",
        )
    return table


if __name__ == "__main__":
    main()
