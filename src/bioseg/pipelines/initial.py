"""The model that a training starts from: its weights, its recipe, and the images it has seen."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from bioseg import files
from bioseg import record as records
from bioseg.datasets import splits
from bioseg.inference import pretrained
from bioseg.models.transfer import Part, Start
from bioseg.outputs.names import printable
from bioseg.pipelines.known_images import image_hashes
from bioseg.pipelines.open import WEIGHTS, fold_folders, open_recipe
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.record import RECORD, read_record
from bioseg.specs import call, describe
from bioseg.types import BiosegError, Case

BARE = ".safetensors"


@dataclass(frozen=True)
class Initial:
    """An opened model to start from.

    Attributes:
        starts: Its networks' weights: one, or one per fold.
        about: What the record of the new run says of it: ``model``, ``fingerprint``, ``weights``, ``part``, ``images``.
        hashes: Images that each network has seen (its folds' are known by fold); empty where nobody knows.
        recipe: Its own, with the postprocessing chosen for it; None for a file of weights alone.
        tuned: Whether it was itself started from another model.
    """

    starts: tuple[Start, ...]
    about: dict[str, str]
    hashes: tuple[dict[str, str], ...]
    recipe: SegmentationRecipe | None = None
    tuned: bool = False

    def of_fold(self, index: int) -> Start:
        """The weights for a fold: of the model's own fold, or its only ones."""
        return self.starts[index if len(self.starts) > 1 else 0]

    def noted(self, record: dict[str, Any], fold: int | None = None) -> dict[str, Any]:
        """A run's record, or a fold's, with what it owes to this model; its images count as trained on for the run too."""
        own = self.hashes if fold is None or len(self.hashes) == 1 else self.hashes[fold : fold + 1]
        known = image_hashes(*({"image_hashes": one} for one in own))
        return record | {"init": self.about} | ({"image_hashes": known} if known else {})


def open_initial(
    model: Path | str, part: str = "all", *, folds: int = 0, allow_code: bool = False
) -> Initial:  # fmt: skip
    """Open what ``--init`` names.

    Args:
        model: A run folder, the name of a pretrained model, or a safetensors file of weights.
        part: A :data:`bioseg.models.transfer.Part`.
        folds: Of the new run.
        allow_code: Run the author's own code if the model was made with some.

    Raises:
        BiosegError: It is none of them, an exported model, a translation model, or has another number of folds.
    """
    if part not in get_args(Part):
        raise BiosegError(f"--init-part {part}: choose {', '.join(get_args(Part))}")
    chosen: Part = "encoder" if part == "encoder" else "all"
    if Path(model).suffix == BARE:
        path = Path(model)
        digest = _digest([path])
        about = {"model": printable(Path(path.name)), "weights": digest, "part": part, "images": "unknown"}
        return Initial((Start(path, printable(path), chosen),), about, ({},))
    folder = pretrained.find(model)
    if folder.is_file():
        raise BiosegError(
            f"--init {model}: an exported model holds no weights that can be trained; give the run folder it was made from, "
            "or the name of a pretrained model"
        )
    record, recipe = open_recipe(folder, allow_code=allow_code)
    if not isinstance(recipe, SegmentationRecipe):
        raise BiosegError(f"--init {model}: is a translation model; give one that segments")
    places = fold_folders(folder, record)
    if len(places) > 1 and len(places) != folds:
        raise BiosegError(
            f"--init {model}: has {len(places)} folds, this training {folds or 'none'}; give --folds {len(places)}, or one of "
            f"its folds: --init {folder / places[0].name}"
        )
    paths = [place / WEIGHTS for place in places]
    name = record["name"] if folder.parent == pretrained.ROOT else printable(Path(folder.name))
    starts = tuple(Start(path, f"{name}, {describe(recipe.network)}", chosen) for path in paths)
    own = [read_record(place) for place in places]
    hashes = tuple(image_hashes(one) if len(own) > 1 else image_hashes(record, one) for one in own)
    known = all(hashes) and not any(one.get("init", {}).get("images") == "unknown" for one in (record, *own))
    about = {
        "model": name,
        "fingerprint": record["fingerprint"],
        "weights": _digest(paths),
        "part": part,
        "images": "known" if known else "unknown",
    }
    chosen_after = records.read_spec(folder, records.POSTPROCESS, Postprocess)
    recipe = replace(recipe, postprocess=chosen_after or recipe.postprocess)
    return Initial(starts, about, hashes, recipe, tuned="init" in record)


def recipe_to_go_on_with(
    init: Initial | None, out: Path, *, resume: bool, allow_code: bool = False
) -> SegmentationRecipe:
    """The recipe of a training for which none is given: of the run that is resumed, else of the model it starts from.

    Raises:
        BiosegError: There is neither.
    """
    if resume and (out / RECORD).exists():
        _, stored = open_recipe(out, allow_code=allow_code)
        if isinstance(stored, SegmentationRecipe):
            return stored
    if init is None or init.recipe is None:
        raise BiosegError(
            "no recipe: give a name from `bioseg recipes`, `auto` for any folder, or --init with a run folder or a pretrained "
            "model to train on as it was made"
        )
    return replace(init.recipe, split=call(splits.by_patient, validation=0.2, seed=0), configure=as_it_is)


def as_it_is(recipe: SegmentationRecipe, cases: list[Case]) -> tuple[SegmentationRecipe, list[str]]:
    """Configures nothing itself; see :func:`bioseg.training.fine_tuning.adapted`."""
    return replace(recipe, configure=None), []


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(files.read_bytes(path, "finish the training with `bioseg train … --resume`, or give another"))
    return digest.hexdigest()[:16]
