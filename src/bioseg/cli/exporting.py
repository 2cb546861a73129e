"""The command that exports a model."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="A run folder, or a name from `bioseg models`.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; one that exists is not overwritten.")],
    form: Annotated[
        str, typer.Option("--format", help="bioseg, the whole model; or the network alone: onnx, torchscript.")
    ] = "bioseg",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run code that is not bioseg's, of a run made with it.")
    ] = False,
) -> None:
    """Export a model as one file that predicts without PyTorch."""
    from bioseg.pipelines.export import export as work

    path = work(model, out, form=form, allow_code=allow_code)
    typer.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
