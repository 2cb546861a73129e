"""Classes: their arithmetic, how they are read, and the way from label images to scores and files."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from bioseg import files, recipes
from bioseg.classes import EVERYTHING, Classes, assigned, class_of_objects, probabilities, united
from bioseg.datasets import cases as reading
from bioseg.datasets import class_names, folders, inspection, kinds, phantom_layouts
from bioseg.datasets.layouts import nnunet
from bioseg.evaluation.by_class import class_scores, confusion_counts
from bioseg.evaluation.overlap import confusion, dice
from bioseg.images.prepare import Preparation, place, prepare_classes
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.checks import merged_classes
from bioseg.pipelines.predict import find_images, predict
from bioseg.postprocess.instances import Instances
from bioseg.postprocess.masks import ClassPostprocess, Postprocess, finish
from bioseg.training import losses
from bioseg.types import BiosegError, Case, LabelValue
from tests.pipelines.models import small_recipe

TWO = Classes(("cavity", "myocardium"))
FREE = replace(TWO, exclusive=False)
RNG = np.random.default_rng(0)
LABELS = np.zeros((12, 14), np.uint8)
LABELS[2:6, 2:6], LABELS[7:11, 3:9], LABELS[1:5, 9:13] = 1, 2, 1


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def case(tmp_path: Path, *masks: Path, **more: object) -> Case:
    return Case("a", "", write(tmp_path / "a.png", np.zeros(LABELS.shape, np.uint8)), masks, **more)  # type: ignore[arg-type]


class TestArithmetic:
    def test_one_exclusive_class_is_a_sigmoid(self) -> None:
        logits = RNG.normal(0, 4, (2, 1, 5, 6)).astype(np.float32)
        expected = torch.from_numpy(logits).sigmoid().numpy()
        assert np.allclose(probabilities(logits, Classes(("lung",))), expected, atol=1e-6)

    def test_exclusive_classes_share_with_the_background(self) -> None:
        logits = RNG.normal(0, 30, (2, 3, 5, 6)).astype(np.float32)
        found = probabilities(logits, TWO)
        with_background = np.concatenate([np.zeros_like(logits[:, :1]), logits[:, :2]], axis=1)
        softmax = torch.from_numpy(with_background).softmax(1).numpy()[:, 1:]
        assert np.allclose(found[:, :2], softmax, atol=1e-6)
        assert np.allclose(found[:, 2], torch.from_numpy(logits[:, 2]).sigmoid().numpy(), atol=1e-6)
        assert np.allclose(united(found[0, :2], TWO), softmax[0].sum(0), atol=1e-6)

    def test_at_a_half_the_most_probable_wins(self) -> None:
        planes = RNG.dirichlet((1, 1, 1), (9, 9)).astype(np.float32).transpose(2, 0, 1)
        expected = planes.argmax(axis=0)
        masks = assigned(planes[1:], TWO, np.array([0.5, 0.5], np.float32))
        assert np.array_equal(masks[0] + 2 * masks[1], expected)

    def test_classes_that_overlap_are_decided_by_themselves(self) -> None:
        planes = RNG.uniform(0, 1, (2, 9, 9)).astype(np.float32)
        masks = assigned(planes, FREE, np.array([0.3, 0.6], np.float32))
        assert np.array_equal(masks, planes > np.array([0.3, 0.6])[:, None, None])
        assert np.array_equal(united(planes, FREE), planes.max(axis=0))

    @pytest.mark.parametrize(
        ("names", "fault"),
        [((), "give 1 to 254"), (("a", "A"), "stands there twice"), (("background", "b"), "means something else"),
         (("a/b",), "name it with letters"), ((" a",), "without blanks around"), (("foreground", "b"), "stands for everything")],
    )  # fmt: skip
    def test_bad_names_are_refused(self, names: tuple[str, ...], fault: str) -> None:
        with pytest.raises(BiosegError, match=fault):
            Classes(names)


class TestLosses:
    def test_exclusive_loss_is_cross_entropy_and_dice(self) -> None:
        logits, labels = (
            torch.randn(2, 2, 6, 7, generator=torch.Generator().manual_seed(0)),
            torch.randint(0, 3, (2, 6, 7)),
        )
        truth = functional.one_hot(labels, 3).permute(0, 3, 1, 2)[:, 1:].float()
        whole = torch.cat([torch.zeros(2, 1, 6, 7), logits], 1)
        shares = whole.softmax(1)[:, 1:]
        each = (2 * (shares * truth).sum((0, 2, 3)) + 1) / ((shares + truth).sum((0, 2, 3)) + 1)
        expected = functional.cross_entropy(whole, labels) + 1 - each.mean()
        assert torch.isclose(losses.exclusive_cross_entropy_and_dice(logits, truth, classes=2), expected)
        weighted = losses.exclusive_cross_entropy_and_dice(logits, truth, classes=2, weights=(1.0, 3.0))
        entropy = functional.cross_entropy(whole, labels, weight=torch.tensor([0.5, 0.25, 0.75]))
        assert torch.isclose(weighted, entropy + 1 - (each * torch.tensor([0.25, 0.75])).sum())

    def test_equal_weights_change_nothing(self) -> None:
        logits, truth = torch.randn(2, 3, 6, 7), (torch.rand(2, 3, 6, 7) > 0.5).float()
        weighted = losses.weighted_cross_entropy_and_dice(logits, truth, weights=(2.0, 2.0, 2.0))
        assert torch.isclose(weighted, losses.cross_entropy_and_dice(logits, truth), atol=1e-6)
        with pytest.raises(BiosegError, match="2 of them; give one for each of 3"):
            losses.weighted_cross_entropy_and_dice(logits, truth, weights=(1.0, 2.0))

    def test_planes_after_the_classes_have_their_own_loss(self) -> None:
        logits, truth = torch.randn(2, 3, 6, 7), torch.zeros(2, 3, 6, 7)
        truth[:, 0, :3], truth[:, 1, 3:], truth[:, 2, 2] = 1, 1, 1
        both = losses.exclusive_cross_entropy_and_dice(logits, truth, classes=2)
        apart = losses.exclusive_cross_entropy_and_dice(logits[:, :2], truth[:, :2], classes=2)
        assert torch.isclose(both, apart + losses.cross_entropy_and_dice(logits[:, 2:], truth[:, 2:]))


class TestReading:
    def test_values_are_classes_where_a_table_or_the_recipe_names_them(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.png", LABELS)
        expected = np.stack([LABELS == 1, LABELS == 2])
        named = case(tmp_path, path, label_values=(LabelValue("myocardium", 2), LabelValue("cavity", 1)))
        for one in (named, case(tmp_path, path)):
            assert np.array_equal(reading.read_classes(one, LABELS.shape, TWO), expected)
        assert np.array_equal(reading.read_classes(named, LABELS.shape, EVERYTHING)[0], LABELS > 0)
        assert np.array_equal(reading.read_classes(named, LABELS.shape, Classes(("myocardium",)))[0], LABELS == 2)

    def test_objects_of_classes_are_their_components(self, tmp_path: Path) -> None:
        one = case(tmp_path, write(tmp_path / "m.png", LABELS))
        labels = reading.read_labels(one, LABELS.shape, TWO)
        assert labels.max() == 3
        assert class_of_objects(labels, reading.read_classes(one, LABELS.shape, TWO)).tolist() == [0, 0, 1]

    def test_a_value_that_is_no_class_is_named(self, tmp_path: Path) -> None:
        one = case(tmp_path, write(tmp_path / "m.png", np.where(LABELS == 2, 7, LABELS).astype(np.uint8)))
        with pytest.raises(
            BiosegError, match=r"m\.png: value 7 in row 7, column 3 is no class \(1 cavity, 2 myocardium\)"
        ):
            reading.read_classes(one, LABELS.shape, TWO)

    def test_colours_are_classes(self, tmp_path: Path) -> None:
        colours = np.zeros((*LABELS.shape, 3), np.uint8)
        colours[LABELS == 1], colours[LABELS == 2] = (255, 0, 0), (0, 0, 255)
        values = (LabelValue("cavity", (255, 0, 0)), LabelValue("myocardium", (0, 0, 255)))
        one = case(tmp_path, write(tmp_path / "m.png", colours), label_values=values)
        assert np.array_equal(reading.read_classes(one, LABELS.shape, TWO), np.stack([LABELS == 1, LABELS == 2]))

    def test_of_exclusive_classes_the_first_keeps_what_both_cover(self, tmp_path: Path) -> None:
        whole = np.zeros(LABELS.shape, np.uint8)
        whole[1:7, 1:7] = 255
        inner, outer = write(tmp_path / "i.png", (LABELS == 1) * np.uint8(255)), write(tmp_path / "o.png", whole)
        one = case(tmp_path, inner, outer, mask_classes=("cavity", "myocardium"))
        cavity, muscle = reading.read_classes(one, LABELS.shape, TWO)
        assert np.array_equal(cavity, LABELS == 1)
        assert np.array_equal(muscle, (whole > 0) & (LABELS != 1))
        assert np.array_equal(reading.read_classes(one, LABELS.shape, FREE)[1], whole > 0)
        with pytest.raises(BiosegError, match=r"shows class 'cavity'; preparation\.classes has lung, heart"):
            reading.read_classes(one, LABELS.shape, Classes(("lung", "heart")))

    def test_neighbouring_classes_leave_no_gap_and_do_not_overlap_when_resized(self) -> None:
        how = Preparation((4, 4), classes=TWO)
        masks = np.zeros((2, 9, 9), bool)
        masks[0, :, :5], masks[1, :, 5:] = True, True
        prepared = prepare_classes(masks, place((9, 9), how), how)
        assert (prepared.sum(axis=0) == 1).all()


class TestFolders:
    @pytest.mark.parametrize(
        "name_of", ["masks/{name}/a{n}.png", "{name}_masks/a{n}.png", "masks/a{n}_{name}.png", "a{n}_mask_{name}.png"]
    )
    def test_a_folder_or_a_file_for_each_class(self, name_of: str, tmp_path: Path) -> None:
        for n in (1, 2):
            write(tmp_path / ("" if name_of.startswith("a{n}") else "images") / f"a{n}.png", LABELS)
            for name in ("left_lung", "heart"):
                write(tmp_path / name_of.format(name=name, n=n), (LABELS == 1) * np.uint8(255))
        found = folders.scan(tmp_path).cases
        assert [len(one.masks) for one in found] == [2, 2]
        assert {one.mask_classes for one in found} == {("heart", "left lung")}

    def test_left_and_right_alone_are_one_class(self, tmp_path: Path) -> None:
        for side in ("left_lung", "right_lung"):
            for name in ("a", "b"):
                write(tmp_path / "images" / f"{name}.png", LABELS)
                write(tmp_path / "masks" / side / f"{name}.png", (LABELS == 1) * np.uint8(255))
        assert [one.mask_classes for one in folders.scan(tmp_path).cases] == [(), ()]
        write(tmp_path / "masks" / "heart" / "a.png", (LABELS == 2) * np.uint8(255))
        assert folders.scan(tmp_path).cases[0].mask_classes == ("heart", "left lung", "right lung")

    def test_numbered_objects_are_no_classes(self, tmp_path: Path) -> None:
        for image, count in (("a", 2), ("b", 3)):
            write(tmp_path / "images" / f"{image}.png", LABELS)
            for number in range(1, count + 1):
                write(tmp_path / "masks" / f"{image}_cell{number}.png", (LABELS == 1) * np.uint8(255))
        found = folders.scan(tmp_path).cases
        assert [len(one.masks) for one in found] == [2, 3]
        assert [one.mask_classes for one in found] == [(), ()]

    @pytest.mark.parametrize(
        ("table", "text"),
        [("classes.csv", "name,value\ncavity,1\nmyocardium,2\n"),
         ("dataset.json", '{"labels": {"background": 0, "cavity": 1, "myocardium": 2}}'),
         ("dataset.json", '{"labels": {"0": "background", "1": "cavity", "2": "myocardium"}}')],
    )  # fmt: skip
    def test_tables_name_values(self, table: str, text: str, tmp_path: Path) -> None:
        write(tmp_path / "images" / "a.png", LABELS)
        write(tmp_path / "labels" / "a.png", LABELS)
        (tmp_path / table).write_text(text)
        (one,) = folders.scan(tmp_path).cases
        assert one.label_values == (LabelValue("cavity", 1), LabelValue("myocardium", 2))

    def test_a_region_of_several_values_overlaps(self, tmp_path: Path) -> None:
        (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "heart": [1, 2], "cavity": 1}}')
        one = case(tmp_path, write(tmp_path / "m.png", LABELS), label_values=class_names.from_table(tmp_path))
        kind = kinds.conclude([kinds.look(one, LABELS.shape)])
        assert kind.classes == Classes(("cavity", "heart"), exclusive=False)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [("value\n1\n", "no column 'name'"), ("name,value\nx,one\n", "line 2: .* neither a whole number"),
         ("name,value\nbackground,0\n", "names no class but the background"),
         ("name,value,colour\na,1,\nb,,#ff0000\n", "some classes by value and some by colour"),
         ("name,colour\na,#12\n", "neither"), ("name,value\na/b,1\n", "class 'a/b'")],
    )  # fmt: skip
    def test_bad_tables_are_one_line(self, text: str, fault: str, tmp_path: Path) -> None:
        (tmp_path / "classes.csv").write_text(text)
        with pytest.raises(BiosegError, match=fault) as caught:
            class_names.from_table(tmp_path)
        assert "classes.csv" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestKinds:
    def test_binary_classes_and_instances_are_told_apart(self, tmp_path: Path) -> None:
        def kind(*images: np.ndarray) -> kinds.Kind:
            paths = [write(tmp_path / f"{index}.png", values) for index, values in enumerate(images)]
            return kinds.conclude(
                [kinds.look(case(tmp_path, path), values.shape) for path, values in zip(paths, images, strict=True)]
            )

        def objects(count: int) -> np.ndarray:
            return np.kron(np.diag(np.arange(count + 1)), np.ones((5, 5))).astype(np.uint16)

        assert kind((LABELS > 0) * np.uint8(255)).what == "binary"
        assert kind(LABELS, np.roll(LABELS, 1, 0)).classes.names == ("class 1", "class 2")
        assert kind(objects(3), objects(7), objects(5)).what == "instances"
        assert kind(objects(40)).what == "instances"

    def test_values_with_gaps_are_the_classes_that_are_there(self, tmp_path: Path) -> None:
        grey = (LABELS * 85).astype(np.uint8)
        one = case(tmp_path, write(tmp_path / "m.png", grey))
        classes = kinds.conclude([kinds.look(one, grey.shape)]).classes
        assert classes.names == ("class 85", "class 170")
        assert np.array_equal(reading.read_classes(one, grey.shape, classes), np.stack([grey == 85, grey == 170]))

    def test_auto_says_what_it_found(self, tmp_path: Path) -> None:
        phantom_layouts.write_label_images(tmp_path, count=4, size_px=64)
        auto = recipes.get("auto")
        fitted, reasons = auto.configure(auto, list(folders.scan(tmp_path).cases))  # type: ignore[union-attr,misc]
        assert fitted.preparation.classes == Classes(("liver", "spleen", "right kidney", "left kidney"))
        assert fitted.training.loss.name == "exclusive_cross_entropy_and_dice"
        assert not fitted.augmentation.flip_cols
        assert any(line.startswith("4 classes that exclude each other: liver") for line in reasons)


class TestPostprocess:
    def test_each_class_by_itself_and_holes_of_others_stay(self) -> None:
        ring, core, speck = (np.zeros((20, 20), np.float32) for _ in range(3))
        ring[4:16, 4:16], core[7:13, 7:13], speck[0, 0] = 0.9, 0.95, 0.9
        ring[7:13, 7:13], ring[5, 5] = 0.02, 0.0  # the second is a hole
        outputs = {"cavity": np.maximum(core, speck), "myocardium": ring}
        how = Postprocess(max_hole=0.2, per_class=(ClassPostprocess("cavity", keep_largest=1),))
        found = finish(outputs, how, TWO)
        assert np.array_equal(found.classes["cavity"].mask, core > 0)
        assert found.classes["myocardium"].mask.sum() == 144 - 36
        assert np.array_equal(found.class_map > 0, found.mask)
        assert not (found.classes["cavity"].mask & found.classes["myocardium"].mask).any()


class TestScores:
    def test_means_each_class_and_confusion(self) -> None:
        truth = np.stack([LABELS == 1, LABELS == 2])
        shifted = np.roll(LABELS, 1, axis=1)
        predicted = {"cavity": shifted == 1, "myocardium": shifted == 2}
        scores = class_scores(predicted, truth)
        each = [dice(confusion(mask, own)) for mask, own in zip(predicted.values(), truth, strict=True)]
        assert [scores["dice:cavity"], scores["dice:myocardium"]] == each
        assert scores["dice"] == pytest.approx(np.mean(each))
        counts = confusion_counts(predicted, truth)
        assert counts.sum() == LABELS.size
        assert counts[1, 1] == (predicted["cavity"] & truth[0]).sum()
        assert counts[2, 0] == ((LABELS == 2) & (shifted == 0)).sum()

    def test_a_class_that_is_nowhere_is_left_out_of_the_mean(self) -> None:
        truth = np.stack([LABELS == 1, np.zeros(LABELS.shape, bool)])
        scores = class_scores({"cavity": LABELS == 1, "myocardium": truth[1]}, truth)
        assert scores["dice"] == 1
        assert np.isnan(scores["dice:myocardium"])


class TestNnunet:
    def test_its_data_sets_are_read_with_their_names(self, tmp_path: Path) -> None:
        phantom_layouts.write_nnunet(tmp_path, count=3, size_px=32)
        write(tmp_path / "imagesTs" / "new_0000.png", LABELS)
        found = nnunet.list_cases(tmp_path)
        assert [one.id for one in found] == ["slice_000", "slice_001", "slice_002", "new"]
        assert folders.scan(tmp_path).layout == "nnU-Net, as published"
        classes = Classes(("liver", "spleen", "right kidney", "left kidney"))
        labels = np.array(Image.open(found[0].masks[0]))
        assert np.array_equal(
            reading.read_classes(found[0], labels.shape, classes), labels == np.arange(1, 5)[:, None, None]
        )
        assert not found[-1].has_truth

    def test_a_file_for_each_channel_is_refused(self, tmp_path: Path) -> None:
        phantom_layouts.write_nnunet(tmp_path, count=1, size_px=32)
        write(tmp_path / "imagesTr" / "slice_000_0001.png", LABELS)
        with pytest.raises(BiosegError, match="one file for each channel; save the channels of slice_000 as one TIFF"):
            nnunet.list_cases(tmp_path)


class TestWords:
    def test_data_check_says_what_masks_show(self, tmp_path: Path) -> None:
        phantom_layouts.write_label_images(tmp_path / "organs", count=3, size_px=48)
        phantom_layouts.write_images_masks(tmp_path / "lungs", count=2, size_px=48)
        said = {}
        for name in ("organs", "lungs"):
            scan = inspection.inspect(folders.scan(tmp_path / name))
            said[name] = "\n".join(inspection.scan_lines(scan))
            assert inspection.to_json(scan)["masks_show"] == ("classes" if name == "organs" else "binary")
        assert "4 classes that exclude each other: liver, spleen, right kidney, left kidney" in said["organs"]
        assert "one class: foreground and background" in said["lungs"]

    def test_a_recipe_of_one_class_warns_that_it_merges_several(self, tmp_path: Path) -> None:
        phantom_layouts.write_label_images(tmp_path, count=3, size_px=48)
        cases = folders.scan(tmp_path).cases
        (line,) = merged_classes(recipes.get("ct-lungs"), cases)  # type: ignore[arg-type]
        assert line.startswith("warning: masks show 4 classes")
        assert merged_classes(recipes.get("chest-organs"), cases) == []  # type: ignore[arg-type]


class TestFiles:
    NAMES = Classes(("round", "flat"))

    def predicted(self, *, exclusive: bool = True) -> tuple[Predictor, np.ndarray]:
        """A model that takes bright pixels for the first class and dark ones for the second, and separates objects."""
        network = nn.Conv2d(1, 3, 1)
        with torch.no_grad():
            network.weight[:, 0, 0, 0] = torch.tensor([60.0, -60.0, 0.0])
            network.bias[:] = torch.tensor([-42.0, 18.0, 9.0])
        image = np.full((32, 40), 128, np.uint8)
        image[4:10, 4:10], image[20:26, 8:20], image[5:11, 25:31] = 255, 0, 255
        classes = replace(self.NAMES, exclusive=exclusive)
        preparation = Preparation((32, 40), targets=("foreground", "marker"), classes=classes)
        recipe = replace(small_recipe(), preparation=preparation, postprocess=Postprocess(instances=Instances()))
        return Predictor(recipe, (torch_backend(network, torch.device("cpu")),)), image

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_each_class_is_in_every_file(self, exclusive: bool, tmp_path: Path) -> None:
        predictor, image = self.predicted(exclusive=exclusive)
        path = write(tmp_path / "in" / "a.png", image)
        out = tmp_path / "out"
        save = "mask,labels,labels-tiff,classes-tiff,overlay,rois,geojson,nifti,csv"
        assert predict(predictor, find_images([path]), out, save=save) == (1, [])
        truth = np.where(image == 255, 1, np.where(image == 0, 2, 0))
        assert np.array_equal(np.array(Image.open(out / "a.png")), truth)
        with tifffile.TiffFile(out / "a.classes.tif") as pages:
            for value, (page, name) in enumerate(zip(pages.pages, self.NAMES.names, strict=True), 1):
                assert np.array_equal(page.asarray() > 0, truth == value)
                assert page.tags[285].value == name
        rows = files.read_csv(out / "objects.csv")
        assert [row["class"] for row in rows] == ["round", "round", "flat"]
        areas = {row["class"]: int(row["area_px"]) for row in files.read_csv(out / "class_measurements.csv")}
        assert areas == {"round": 72, "flat": 72}
        features = json.loads((out / "a.geojson").read_text())["features"]
        assert sorted(one["properties"]["classification"]["name"] for one in features) == ["flat", "round", "round"]
        with zipfile.ZipFile(out / "a.rois.zip") as regions:
            assert sorted(name.rpartition("-")[0] for name in regions.namelist()) == ["flat", "round", "round"]
        again = folders.scan(out) if exclusive else None
        assert class_names.from_table(out) == tuple(LabelValue(name, k) for k, name in enumerate(self.NAMES.names, 1))
        assert again is None or again.folder == out
