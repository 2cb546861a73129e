"""What output files are called."""

from collections.abc import Sequence
from pathlib import Path

from bioseg.types import BiosegError


def name_outputs(images: Sequence[Path], out: Path) -> list[str]:
    """One name per image: its stem, with its folder's name in front where stems repeat, and a number at last.

    Raises:
        BiosegError: A ``<name>.png`` in ``out`` would overwrite one of the images.
    """
    stems = [path.stem for path in images]
    names: list[str] = []
    for path, stem in zip(images, stems, strict=True):
        name = stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}"
        same = sum(
            other == name or (other.startswith(f"{name}_") and other[len(name) + 1 :].isdigit()) for other in names
        )
        names.append(f"{name}_{same + 1}" if same else name)
    clash = {path.resolve() for path in images} & {(out / f"{name}.png").resolve() for name in names}
    if clash:
        raise BiosegError(f"{min(clash)}: would be overwritten by what is made from it; choose another --out")
    return names
