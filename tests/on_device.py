"""Tensors that behave as if they were on a GPU: what would copy them to the host in silence raises."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioseg.datasets.samples import Batch, InMemory


class OnDevice(Tensor):
    """Every result of it is one too, until ``.cpu()`` or ``.to("cpu")`` makes a plain tensor of it."""

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in ("__array__", "numpy"):
            raise TypeError("can't convert a device tensor to numpy; use .cpu() to copy it to host memory first")
        to_host = name == "cpu" or (name == "to" and any(str(one) == "cpu" for one in args[1:]))
        result = super().__torch_function__(function, types, args, kwargs or {})
        return result.as_subclass(Tensor) if to_host else result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # type: ignore[override]
        raise TypeError("can't convert a device tensor to numpy; use .cpu() to copy it to host memory first")


class OnHost(Tensor):
    """A tensor whose ``.to(device)`` gives an :class:`OnDevice`; in all else an ordinary one."""

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_function__(function, types, args, kwargs or {})
        if getattr(function, "__name__", "") == "to":
            return result.as_subclass(OnDevice)
        return result.as_subclass(Tensor) if isinstance(result, Tensor) else result


@dataclass(frozen=True)
class DeviceSamples:
    """Samples whose tensors behave, once they are moved to the device, as a GPU's would."""

    samples: InMemory

    @property
    def cases(self) -> Any:
        return self.samples.cases

    @property
    def problems(self) -> Any:
        return self.samples.problems

    def batches(self, order: Sequence[int], size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        for batch in self.samples.batches(order, size, rng):
            yield Batch(batch.images.as_subclass(OnHost), batch.masks.as_subclass(OnHost), batch.indices)


def uploaded(values: Tensor) -> Tensor:
    """``values`` as if they were on a GPU."""
    return values.as_subclass(OnHost).to(torch.device("cpu"))
