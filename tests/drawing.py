"""Figures take half the time of a small training: they are drawn where a test looks at them, and are a pixel elsewhere."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from bioseg.reports import figures

DRAW = figures.png


def pixel(figure: object) -> bytes:
    """A PNG of one pixel, whatever the figure."""
    data = io.BytesIO()
    Image.new("L", (1, 1)).save(data, "PNG")
    return data.getvalue()


@contextmanager
def drawn(png: object = DRAW) -> Iterator[None]:
    """Figures are drawn, or made by ``png``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "png", png)
        yield
