"""The figure of docs/how-to/check-your-data.md: ``python docs/figures/check_page.py`` writes ``docs/figures/check-page.png``.

A folder of phantoms with mistakes made on purpose, checked, and its page as Chromium shows it.
"""

import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from bioseg import files
from bioseg.datasets import phantoms
from bioseg.pipelines.check import check
from bioseg.types import Array, Mask

OUT = Path(__file__).with_name("check-page.png")
SIZE_PX = 160


def chest(seed: int) -> tuple[Array, Mask]:
    """A frontal chest X-ray, 8 bits, and both lungs."""
    values, left, right = phantoms.chest(np.random.default_rng(seed), (SIZE_PX, SIZE_PX))
    return (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8), left | right


def save(folder: Path, name: str, image: Array, mask: Mask) -> None:
    """A pair of ``images/`` and ``masks/``."""
    for part, pixels in (("images", image), ("masks", mask.astype(np.uint8) * 255)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / part / f"{name}.png")


def write_folder(folder: Path) -> None:
    """Forty pairs, and six that are wrong."""
    for seed in range(40):
        save(folder / ("val" if seed > 31 else "train"), f"chest-{seed:02}", *chest(seed))
    image, mask = chest(3)
    save(folder / "val", "chest-3-copy", image, mask & (np.arange(SIZE_PX) < SIZE_PX / 2))
    image, mask = chest(41)
    save(folder / "train", "whole-image", image, np.ones_like(mask))
    image, mask = chest(42)
    save(folder / "train", "blurred", np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(6))), mask)
    image, mask = chest(43)
    save(folder / "train", "shifted", image, np.roll(mask, 30, axis=0))
    image, mask = chest(44)
    save(folder / "train", "negative", 255 - image, mask)
    image, mask = chest(45)
    save(folder / "train", "cut-short", image, mask)
    path = folder / "train" / "images" / "cut-short.png"
    path.write_bytes(path.read_bytes()[:900])


def main() -> None:
    """Write, check, photograph; 96 colours are enough."""
    with tempfile.TemporaryDirectory() as place:
        page, shot = (Path(place) / name for name in ("page.html", "shot.png"))
        with contextlib.chdir(place):
            write_folder(Path("chests"))
            check(Path("chests"), page)
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1400"]
        subprocess.run(["chromium", *options, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
        small = Image.open(shot).convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    png = io.BytesIO()
    small.save(png, "PNG", optimize=True)
    files.write(OUT, png.getvalue())


if __name__ == "__main__":
    main()
