"""The page of a data set in Chromium, where there is one: it fits small screens, and its contours can be hidden."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bioseg.datasets import phantom_layouts
from bioseg.pipelines.check import check

BROWSERS = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))][:1]
LOOK = """
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, images = [...page.images];
  const drawn = () => [...page.querySelectorAll(".view svg")].filter(one => one.getClientRects().length).length;
  const before = drawn();
  page.getElementById("contours").click();
  document.title = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth, images: images.filter(one => one.naturalWidth).length, before, after: drawn(),
    wide: [...page.querySelectorAll("main *")].filter(one => one.getBoundingClientRect().right > root.clientWidth + 1)
      .map(one => one.outerHTML.slice(0, 80)),
  });
};
"""


def look(browser: str, page: Path, width_px: int) -> dict[str, Any]:
    """The page in a frame of this width, before and after its contours are switched off."""
    text = page.read_text(encoding="utf-8").replace('loading="lazy"', "")  # a frame is loaded when its images are
    inside = html.escape(text, quote=True)
    frame = f'<iframe id="frame" style="width: {width_px}px; height: 900px; border: 0" srcdoc="{inside}"></iframe>'
    outer = page.with_name("outer.html")
    outer.write_text(f"<!doctype html><body>{frame}<script>{LOOK}</script></body>", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run([browser, *options, outer.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found, done.stdout[:500]
    return dict(json.loads(html.unescape(found[1])))


@pytest.mark.slow
@pytest.mark.parametrize("width_px", [320, 1200])
@pytest.mark.parametrize("browser", BROWSERS)
def test_the_page_fits_and_its_contours_can_be_hidden(browser: str, width_px: int, tmp_path: Path) -> None:
    folder = tmp_path / ("a-folder-with-quite-a-long-name-" * 3)
    phantom_layouts.write_images_masks(folder, count=12)
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / f"{'broken' * 20}.png").write_bytes(b"\x89PNG")
    check(folder, tmp_path / "page.html")
    seen = look(browser, tmp_path / "page.html", width_px)
    assert seen["wide"] == [] and seen["overflow"] == 0
    assert seen["images"] == seen["before"] == 12 and seen["after"] == 0
