"""Previews beside images, pipes, loops of links, names that are no text: nothing is mistaken, nothing hangs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import folders, inspection, pairing, phantom_layouts
from bioseg.images import formats
from bioseg.types import BiosegError
from tests.datasets.folder_files import write, write_pair


class TestPreviews:
    def test_a_png_beside_its_image_is_a_mask_only_if_it_looks_like_one(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        for name in "abc":
            preview = phantom_layouts.phantoms.chest(rng, (40, 50))[0] * 255
            Image.fromarray(preview.astype(np.uint8)).save(tmp_path / f"{name}.jpg")
            Image.fromarray(preview.astype(np.uint8)).save(tmp_path / f"{name}.png")
        write(tmp_path / "d.jpg", shape=(8, 10, 3))
        write(tmp_path / "d.png", value=1)
        scan = inspection.inspect(folders.scan(tmp_path))
        assert [case.id for case in scan.cases] == ["d"]
        assert [path.name for path in scan.ambiguous] == ["a.png", "b.png", "c.png"]
        assert not scan.clean
        assert "a.png, b.png, c.png" in "\n".join(inspection.scan_lines(scan))
        assert len(inspection.to_json(scan)["ambiguous"]) == 3
        assert len(folders.list_images(tmp_path)) == 7  # image and preview alike, but no mask

    def test_what_looks_like_a_mask(self) -> None:
        rng = np.random.default_rng(0)
        disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
        soft = np.asarray(Image.fromarray(disc.astype(np.uint8) * 255).resize((128, 128), Image.Resampling.BILINEAR))
        _, labels = phantom_layouts.phantoms.nuclei(rng, 128)
        colours = np.zeros((64, 64, 3), np.uint8)
        colours[disc] = (200, 30, 0)
        for mask in (
            disc,
            disc.astype(np.uint8),
            disc * np.uint8(255),
            soft,
            labels.astype(np.uint16),
            colours,
            disc * 0,
        ):
            assert pairing.looks_like_mask(np.asarray(mask))
        chest = (phantom_layouts.phantoms.chest(rng, (64, 64))[0] * 255).astype(np.uint8)
        dark = np.where(disc, chest, 0).astype(np.uint8)  # a preview with a black background
        stained = phantom_layouts.phantoms.nuclei(rng, 128)[0]
        everything = np.full((64, 64), 255, np.uint8)
        everything[0, 0] = 0
        for image in (chest, dark, stained, everything):
            assert not pairing.looks_like_mask(image)

    def test_only_such_pairs_are_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        real = formats.read
        monkeypatch.setattr(formats, "read", lambda path, *more: opened.append(path.name) or real(path, *more))
        write_pair(tmp_path, "a")
        for name in ("b.tif", "b_mask.png", "c.png", "d.jpg", "d.png"):
            write(tmp_path / name, value=255)
        assert len(folders.scan(tmp_path).cases) == 3
        assert opened == ["d.png"]


class TestStrangeFolders:
    def test_pipes_loops_and_broken_links_are_skipped_by_name(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a")
        os.mkfifo(tmp_path / "images" / "pipe.png")
        os.mkfifo(tmp_path / "images" / "pipe")
        (tmp_path / "images" / "again").symlink_to(tmp_path)
        (tmp_path / "masks" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        scan = inspection.inspect(folders.scan(tmp_path))
        assert [case.id for case in scan.cases] == ["a"]
        assert {one.path.name: one.reason for one in scan.skipped} == {
            "pipe.png": "is no regular file", "pipe": "is no regular file", "gone.png": "is a broken link",
            "again": "links to a folder that is read already",
        }  # fmt: skip
        assert scan.clean
        assert len(folders.list_images(tmp_path)) == 1

    def test_linked_folders_are_followed(self, tmp_path: Path) -> None:
        for name in "ab":
            write_pair(tmp_path / "far", name)
        (tmp_path / "data").mkdir()
        for part in ("images", "masks"):
            (tmp_path / "data" / part).symlink_to(tmp_path / "far" / part)
        assert [case.id for case in folders.scan(tmp_path / "data").cases] == ["a", "b"]

    def test_an_unreadable_sub_folder_is_skipped_and_an_unreadable_folder_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_pair(tmp_path, "a")
        (tmp_path / "secret").mkdir()
        real = os.scandir

        def refused(folder: Path) -> object:  # as root, nothing is refused by its mode
            if folder.name == "secret":
                raise PermissionError(13, "Permission denied")
            return real(folder)

        monkeypatch.setattr(os, "scandir", refused)
        scan = folders.scan(tmp_path)
        assert len(scan.cases) == 1
        assert [(one.path.name, one.reason) for one in scan.skipped] == [
            ("secret", "cannot be read (Permission denied)")
        ]
        with pytest.raises(BiosegError, match="secret: Permission denied"):
            folders.scan(tmp_path / "secret")

    def test_names_that_are_no_text_are_printable_and_stay_different(self, tmp_path: Path) -> None:
        for raw in (b"a\xff", b"a\xfe", b"b\nc", "größe".encode()):
            name = os.fsdecode(raw)
            write_pair(tmp_path, name)
        write(tmp_path / "images" / f"{os.fsdecode(b'lonely' + bytes([255]))}.png")
        scan = inspection.inspect(folders.scan(tmp_path))
        assert sorted(case.id for case in scan.cases) == ["a\\xfe", "a\\xff", "b\\nc", "größe"]
        assert scan.clean
        for text in (*inspection.scan_lines(scan), json.dumps(inspection.to_json(scan), ensure_ascii=False)):
            assert text.encode() and "\n" not in text
        assert all(case.id.encode() for case in folders.list_images(tmp_path))

    def test_hidden_files_and_our_own_outputs_are_no_data(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a")
        write(tmp_path / "images" / "._a.png")
        write_pair(tmp_path / ".cache", "z")
        for folder, mark in (("run", "record.json"), ("masks-of-model", "measurements.csv")):
            write_pair(tmp_path / folder / "deep", "b")
            (tmp_path / folder / mark).write_text("{}")
        scan = folders.scan(tmp_path)
        assert [case.id for case in scan.cases] == ["a"]
        assert [one.path.name for one in scan.skipped] == ["masks-of-model", "run"]
        assert "written by bioseg" in "\n".join(inspection.scan_lines(scan))
        assert len(folders.list_images(tmp_path)) == 1
