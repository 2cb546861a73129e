"""What the page of a data set shows: mistakes that were made on purpose, first."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bioseg.datasets import folders, inspection, patients, phantoms
from bioseg.pipelines.check import check
from bioseg.reports import check_page, thumbnails
from bioseg.reports.distributions import HEIGHT, counts, histogram
from bioseg.types import BiosegError

VOID = {"meta", "img", "path", "rect", "use", "input"}
SIZE_PX = 64


class Page(HTMLParser):
    """Texts of the elements by their kind, addresses, images, ids; fails at tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.style = "", ""
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.text += " "
        self.attributes |= set(found)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "img":
            self.images.append(found)
        if tag == "b" and "title" in found:
            self.names.append(found["title"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def chest(seed: int) -> tuple[np.ndarray, np.ndarray]:
    values, left, right = phantoms.chest(np.random.default_rng(seed), (SIZE_PX, SIZE_PX))
    return (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8), left | right


def save_image(folder: Path, name: str, pixels: np.ndarray, part: str = "images") -> None:
    (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / part / f"{name}.png")


def save(folder: Path, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    save_image(folder, name, image)
    save_image(folder, name, mask.astype(np.uint8) * 255, "masks")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and validation parts with a mistake of every kind."""
    root = tmp_path_factory.mktemp("set")
    train, val = root / "train", root / "val"
    for seed in range(24):
        save(val if seed > 17 else train, f"c{seed:02}", *chest(seed))
    image, mask = chest(3)
    save(val, "copy", image, mask & (np.arange(SIZE_PX) < 32))
    halved = np.asarray(Image.fromarray(chest(4)[0]).resize((48, 48), Image.Resampling.BOX))
    save(val, "shrunk", halved, np.asarray(Image.fromarray(chest(4)[1]).resize((48, 48))))
    image, mask = chest(40)
    save(train, "blurred", np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(5))), mask)
    image, mask = chest(41)
    save(train, "everything", image, np.ones_like(mask))
    image, mask = chest(42)
    save(train, "nothing", image, np.zeros_like(mask))
    image, mask = chest(43)
    save(train, "large", image.repeat(8, axis=0).repeat(8, axis=1), mask.repeat(8, axis=0).repeat(8, axis=1))
    save(train, "<b>bold", *chest(44))
    save(train, "broken", *chest(45))
    (train / "images" / "broken.png").write_bytes((train / "images" / "broken.png").read_bytes()[:200])
    Image.fromarray(image).save(train / "masks" / "alone.png")
    names = [path.stem for path in sorted(root.rglob("images/*.png"))]
    table = ["id,patient", *(f"{name},Jane Doe {place}" for place, name in enumerate(names))]
    (root / "patients.csv").write_text("\n".join(table) + "\n")
    return root


@pytest.fixture(scope="module")
def html(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert not check(folder, path).clean
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(html: str) -> Page:
    return Page(html)


def test_the_page_holds_everything_inside_it(html: str, seen: Page) -> None:
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in seen.addresses)
    assert not re.search(r"@import|url\(|<script|https?://", html)
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert {address[1:] for address in seen.addresses if address[0] == "#"} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    assert len(html) < 200_000
    assert "<b>bold" not in html and "<b>bold" in seen.names


def test_every_usable_image_is_shown_with_its_mask(seen: Page) -> None:
    assert len(seen.images) == len(seen.names) and len(set(seen.names)) == 31
    twice = {name for name in seen.names if seen.names.count(name) > 1}
    assert twice == {"copy", "shrunk"}  # since they stand out and are duplicates
    for image in seen.images:
        kind, _, data = (image["src"] or "").partition(";base64,")
        assert kind == "data:image/webp"
        with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
            assert opened.size == (int(image["width"] or 0), int(image["height"] or 0))
        assert image["alt"]
    assert seen.ids.count("contours") == 1
    assert sum("no foreground" in (image["alt"] or "") for image in seen.images) == 1


def test_mistakes_are_named_with_their_remedy(seen: Page) -> None:
    for words in (
        "31 of 32 images with ground truth can be used", "Cannot be used: 1", "broken.png", "copy it again",
        "Masks without an image: 1", "train/masks/alone.png", "Give them the name of their image",
        "Masks without foreground: 1", "nothing", "the mask covers 100.0% of the image",
        "64.0 times as many pixels as usual", "1.8 times fewer pixels than usual", "less sharp than usual",
        "The same pixels, of 2 patients, in train and validation, with different masks",
        "Look alike, of 2 patients, in train and validation",
        "train: 24 images of 24 patients; validation: 8 images of 8 patients",
        "64 × 64", "Objects per image", "background", "Images per patient",
    ):  # fmt: skip
        assert words in seen.text, words


def test_what_stands_out_comes_first(seen: Page) -> None:
    assert set(seen.names[:2]) == {"everything", "copy"}  # masks, then images
    assert set(seen.names[2:5]) == {"large", "blurred", "shrunk"}
    assert [*map(set, (seen.names[5:7], seen.names[7:9]))] == [{"c03", "copy"}, {"c04", "shrunk"}]


def test_no_patient_is_named(html: str, seen: Page) -> None:
    assert "Jane" not in html
    digest = patients.hashed(b"Jane Doe")
    reason = "the masks of patient Jane Doe (6 images) lie beside the edges in the images"
    assert check_page._nameless(reason, "Jane Doe") == reason.replace("Jane Doe", digest)


def test_nothing_of_a_users_is_overwritten(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(inspection, "examine", lambda *arguments: opened.append(arguments))
    own = tmp_path / "page.html"
    own.write_text("<p>mine</p>")
    with pytest.raises(BiosegError, match=r"page\.html: is not a page .* choose another name for --report"):
        check(folder, own)
    with pytest.raises(BiosegError, match="is a folder"):
        check(folder, tmp_path)
    assert own.read_text() == "<p>mine</p>" and not opened


def test_a_page_of_ours_is_replaced(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    scan = folders.scan(folder)
    check_page.write(scan, {}, path)
    path.write_text(path.read_text().replace("</main>", "old</main>"))
    check_page.write(scan, {}, path)
    assert "old</main>" not in path.read_text()
    assert Page(path.read_text()).images == []


def test_more_cases_than_are_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_page, "ALL", 4)
    monkeypatch.setattr(check_page, "FIRST", 1)
    found = folders.scan(folder)
    scan, seen = inspection.examine(found, check_page.viewer(found.cases))
    assert sum(one.drawn is not None for one in seen.values()) <= 4
    said = Page(check_page.page(scan, seen))
    assert "The first 1 of 5 are shown here" in said.text
    assert "4 of 25, taken evenly" in said.text
    assert len(said.images) <= 4 + 1 + 6


def test_classes_have_contours_of_their_own_and_a_share_each(tmp_path: Path) -> None:
    for seed in range(3):
        image, mask = chest(seed)
        for part, pixels in (("lung", mask), ("heart", np.roll(~mask & (np.arange(SIZE_PX) > 48), 3))):
            (tmp_path / "masks" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "masks" / part / f"c{seed}.png")
        save_image(tmp_path, f"c{seed}", image)
    check(tmp_path, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    said = Page(html)
    assert all(html.count(f'<g class="k{colour}">') == 3 for colour in (0, 1)) and 'class="k2"' not in html
    assert re.search(r"Contours: (heart lung|lung heart) ", said.text)
    assert re.search(r"background [\d.]+% (heart|lung) [\d.]+% (heart|lung) [\d.]+% ", said.text)


def test_the_contour_lies_where_the_mask_ends() -> None:
    covered = np.zeros((20, 20), np.float32)
    covered[5:15, 8:12] = 1
    numbers = [int(number) for number in re.findall(r"-?\d+", *thumbnails._paths(covered))]
    points = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0) / thumbnails.STEPS
    assert np.abs(points.min(axis=0) - (8, 5)).max() <= 0.25  # (x, y), px from the top left corner
    assert np.abs(points.max(axis=0) - (12, 15)).max() <= 0.25
    assert list(thumbnails._paths(np.zeros((4, 4), np.float32))) == []
    speck = np.zeros((20, 20), np.float32)
    speck[4, 4] = 0.1
    assert len(list(thumbnails._paths(speck))) == 1


def test_histograms() -> None:
    made = histogram("Area", [*range(1, 41), 40], lambda value: f"{value:.0f} px", "A note.")
    assert sum(int(bar.label.rpartition(": ")[2]) for bar in made.bars) == 41
    assert max(bar.height for bar in made.bars) == HEIGHT and made.ends == ("1 px", "40 px")
    assert made.summary == "1 px to 40 px, median 21 px"
    assert all(bar.left >= 0 and bar.left + bar.width <= 1000 for bar in made.bars)
    wide = histogram("Area", [1, 2, 3, 4, 5, 6, 10_000], str)
    assert len(wide.bars) > 3  # of equal ratio, or all but one would be in the first
    assert histogram("Area", [2, 1, 2], str).lines == (("1", 1 / 3, "1"), ("2", 2 / 3, "2"))
    many = counts("Size", [*"aab", *"cdefgh"]).lines
    assert many[0] == ("a", 2 / 9, "2") and many[-1] == ("3 others", 3 / 9, "3")
