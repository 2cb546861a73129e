"""The command that writes a data set in another layout."""

from pathlib import Path
from typing import Annotated

import typer

from bioseg.cli import common


def data_convert(
    folder: Annotated[Path, typer.Argument(help="Any folder of images and masks.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    to: Annotated[str, typer.Option("--to", help="coco or folders.")],
) -> None:
    """Write a data set in another layout: images copied as they are; ids, patients and the folder's own split kept."""
    from bioseg.pipelines.convert import convert

    with common.screen() as screen:
        count, problems = convert(folder, out, to, common.callbacks(screen))
    screen.log(f"{count} images with ground truth in {out}")
    common.finish(screen, problems)
