"""``make bench``: our networks and loop beside plain PyTorch on the same batches, in turn, in one run.

Then how long each reference recipe and ours take to the score that the study reported. Ratios are of medians. Prints
tables and writes ``benchmarks/latest.json``. Real archives are used where they are (``BIOSEG_ARCHIVES``), phantoms elsewhere.
"""

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

from benchmarks import plain, time_to_score
from bioseg import recipes
from bioseg.datasets import augment, phantom_layouts
from bioseg.datasets.layouts import nuclei
from bioseg.datasets.samples import load
from bioseg.inference import tta
from bioseg.inference.device import MEMORY_FORMAT, autocast, choose, place
from bioseg.models import residual_fcn, unet
from bioseg.recipe import SegmentationRecipe
from bioseg.training import losses
from bioseg.training.fit_segmenter import Callbacks, fit_segmenter
from bioseg.training.run import Run

ARCHIVES = Path(os.environ.get("BIOSEG_ARCHIVES", Path(__file__).parents[2] / "shared" / "data"))
DEVICE = choose()
ROUNDS, BATCH, EPOCHS = 7, 8, 3
PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], int, int]] = {
    "cxr U-Net": (unet.cxr_unet, plain.CxrUNet, 1, 256),
    "ct U-Net": (unet.ct_unet, plain.CtUNet, 1, 128),
    "lv U-Net": (unet.lv_unet, plain.LvUNet, 1, 128),
    "nuclei U-Net": (unet.nuclei_unet, plain.NucleiUNet, 3, 128),
    "residual FCN": (residual_fcn.residual_fcn, plain.ResidualFcn, 1, 256),
}


def timed(work: Callable[[], object]) -> float:
    """Seconds, the GPU's queue emptied."""
    started = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def in_turn(ours: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Median seconds of both, run in turn after one round each to warm up."""
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


def networks() -> list[dict[str, Any]]:
    """Milliseconds an image, training and prediction, ours and plain."""
    rows, recipe = [], recipes.get("nuclei-reference")
    for name, (ours, theirs, channels, size) in PAIRS.items():
        torch.manual_seed(0)
        images = torch.rand(BATCH, channels, size, size, device=DEVICE)
        masks = (torch.rand(BATCH, 1, size, size, device=DEVICE) > 0.5).float()
        mine, theirs_step = our_step(ours(), recipe), plain_step(theirs())
        train = in_turn(partial(mine, images, masks), partial(theirs_step, images, masks))
        network, other = place(ours(), DEVICE).eval(), theirs().to(DEVICE).eval()

        def plain_predict(other: nn.Module = other, images: Tensor = images) -> Tensor:
            with torch.no_grad():
                return torch.sigmoid(other(images))

        def our_predict(network: nn.Module = network, images: Tensor = images) -> Tensor:
            return tta.mean_probability([network], images)

        predict = in_turn(our_predict, plain_predict)
        rows.append({"network": name, "size": size, "train_ms": ms(train), "predict_ms": ms(predict)})
    return rows


def ms(pair: tuple[float, float]) -> dict[str, float]:
    """Milliseconds an image, and ours as a share of plain."""
    return {"ours": 1000 * pair[0] / BATCH, "plain": 1000 * pair[1] / BATCH, "ratio": pair[0] / pair[1]}


def loading(folder: Path) -> dict[str, Any]:
    """Seconds to read and prepare the nuclei images with their masks, first and from the prepared cache."""
    data = folder / "nuclei"
    archive = ARCHIVES / "nuclei" / "stage1_train.zip"
    if archive.exists():
        zipfile.ZipFile(archive).extractall(data)
    else:
        phantom_layouts.write_nuclei(data, count=440, seed=0, size_px=256)
    cases, how = nuclei.list_cases(data), recipes.get("nuclei-reference").preparation
    first = timed(lambda: load(cases, how, cache=folder / "cache"))
    again = timed(lambda: load(cases, how, cache=folder / "cache"))
    return {
        "images": len(cases),
        "masks": sum(len(case.masks) for case in cases),
        "real": archive.exists(),
        "first_s": first,
        "cached_s": again,
        "samples": load(cases, how, cache=folder / "cache"),
    }


def loop(samples: Any, folder: Path, name: str) -> dict[str, Any]:
    """A few epochs of the real loop, and how much of them was spent outside the network.

    The network's time is measured on the same batches without anything around it.
    """
    recipe = recipes.get("nuclei-reference")
    if name == "augmented":
        recipe = replace(
            recipe, augmentation=augment.strong_intensity(augment.Augmentation(rotation_deg=15, zoom=(0.8, 1.25)))
        )
    recipe = replace(recipe, training=replace(recipe.training, epochs=EPOCHS))
    count = len(samples.cases)
    train, validation = samples.select(range(count * 9 // 10)), samples.select(range(count * 9 // 10, count))
    run = Run(folder / f"run-{name}", {}, seed=0, device=DEVICE, resume=False)
    whole = timed(lambda: fit_segmenter(run, recipe, train, validation, Callbacks()))
    network, size = recipe.network(), recipe.training.batch_size
    step = our_step(network, recipe)
    batches = [(one.images.to(DEVICE), one.masks.to(DEVICE)) for one in train.batches(range(len(train.cases)), size)]
    step(*batches[0])  # to warm up
    bare = sum(timed(partial(step, *one)) for one in batches)
    network.eval()
    for one in validation.batches(range(len(validation.cases)), size):
        bare += timed(partial(tta.logits, network, one.images.to(DEVICE)))
    return {"loop": name, "epoch_s": whole / EPOCHS, "network_s": bare, "rest": 1 - bare * EPOCHS / whole}


def main() -> None:
    """Measure, print, write."""
    console = Console()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    console.print(f"PyTorch {torch.__version__} on {where}; medians of {ROUNDS}, ours and plain in turn")
    rows = networks()
    table = Table("network", "px", "train ms: ours", "plain", "ratio", "predict ms: ours", "plain", "ratio")
    for row in rows:
        t, p = row["train_ms"], row["predict_ms"]
        table.add_row(row["network"], str(row["size"]), *(f"{v:.2f}" for v in (*t.values(), *p.values())))
    console.print(table)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = loading(folder)
        samples = data.pop("samples")
        console.print(
            f"{data['images']} images with {data['masks']} masks ({'real' if data['real'] else 'phantoms'}): "
            f"{data['first_s']:.1f} s the first time, {data['cached_s']:.2f} s from the prepared cache"
        )
        loops = [loop(samples, folder, kind) for kind in ("as published", "augmented")]
    for one in loops:
        console.print(
            f"training loop, {one['loop']}: {one['epoch_s']:.1f} s an epoch, {100 * one['rest']:.1f} % of it not the network"
        )
    scores = [time_to_score.measure(task, ARCHIVES) for task in time_to_score.TASKS]
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
    console.print(table)
    result = {
        "time_to_score": scores,
        "torch": torch.__version__,
        "where": where,
        "networks": rows,
        "loading": data,
        "loops": loops,
    }
    Path(__file__).with_name("latest.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
