"""Start a network from the weights of another: whatever has the same name and shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from bioseg.models import weights
from bioseg.types import BiosegError

Part = Literal["all", "encoder"]
"""What of a network is started from other weights: all that fits, or its encoder alone."""

ENCODER = "encoder."
SHOWN = 6
"""At most this many names are in a line."""


@dataclass(frozen=True)
class Start:
    """Weights that a training starts from.

    Attributes:
        path: safetensors file.
        model: What they are of, for people: the model's name and its network.
        part: What is taken of them.
    """

    path: Path
    model: str
    part: Part = "all"


def start(network: nn.Module, how: Start, name: str) -> str:
    """Load the modules of ``network`` all of whose tensors are in the file with the same names and shapes.

    Args:
        network: Gets the weights; its other modules stay as they are.
        how: Where from, and what.
        name: What ``network`` is, for people.

    Returns:
        One line for a person: what was loaded, what is fresh, what of the file is not used.

    Raises:
        BiosegError: The file is missing or damaged or holds a value that is not finite, the network has no encoder and that is
            asked for, or nothing matches.
    """
    own = network.state_dict()
    wanted = [tensor for tensor in own if how.part == "all" or tensor.startswith(ENCODER)]
    if not wanted:
        raise BiosegError(f"--init-part encoder: {name} has no encoder; take --init-part all")
    found = weights.renamed(weights.tensors(how.path, weights.AGAIN), own)
    modules = _modules(wanted)
    matching = [one for one, names in modules.items() if all(weights.alike(own[n], found.get(n)) for n in names)]
    loaded = [tensor for one in matching for tensor in modules[one]]
    if not loaded:
        raise BiosegError(
            f"{how.path}: nothing in {how.model} matches {name} in name and shape; start from a model of the same network, "
            "or leave out --init"
        )
    network.load_state_dict({n: weights.finite(found[n].to(own[n].dtype), n, how.path) for n in loaded}, strict=False)
    share = sum(own[n].numel() for n in loaded) / sum(tensor.numel() for tensor in own.values())
    fresh = sorted(_modules(own).keys() - set(matching))
    unused = sorted(_modules(found).keys() - set(matching))
    return (
        f"started from {how.model}: {len(loaded)} of {len(own)} tensors loaded, {share:.1%} of all values; "
        f"not from there: {_listed(fresh)}; of no use here: {_listed(unused)}"
    )


def _modules(names: "dict[str, Tensor] | list[str]") -> dict[str, list[str]]:
    """Tensors by the module they belong to: ``head`` → ``head.weight``, ``head.bias``."""
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(name.rpartition(".")[0], []).append(name)
    return modules


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) + more) or "nothing"
