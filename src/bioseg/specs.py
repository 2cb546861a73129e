"""Specifications as values: frozen dataclasses that are valid once built, and functions with their arguments."""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from bioseg.types import BiosegError

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Bounds of a number, for ``Annotated[int, Range(1)]``.

    Attributes:
        low: The least value, itself allowed unless ``above``.
        high: The greatest value, itself allowed.
        above: Whether ``low`` itself is not allowed.
    """

    low: float
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        return f"{'above' if self.above else 'from'} {self.low:g} to {self.high:g}"


Count = Annotated[int, Range(1)]
"""1, 2, 3 …"""
Fraction = Annotated[float, Range(0, 1)]
"""A share or a probability in [0, 1]."""
Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A function with its keyword arguments: a value that can be compared, written as JSON and run.

    Attributes:
        function: A module-level function or class.
        arguments: (name, value) pairs in order; the rest is given when it is called.
    """

    function: Callable[..., T]
    arguments: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuse arguments that the function does not take.

        Raises:
            BiosegError: An argument has no such name, or is of another type or range than its annotation says.
        """
        parameters, hints = _signature(self.function)
        open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        for name, value in self.arguments:
            if name not in parameters and not open_ended:
                known = ", ".join(key for key, one in parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY)
                known = known or ", ".join(parameters) or "none"
                raise BiosegError(f"{self.name}: takes no argument {name!r}; it has: {known}")
            if fault := mismatch(value, hints.get(name, Any)):
                raise BiosegError(f"{self.name}.{name}: {_shown(value)}; {fault}")

    @property
    def name(self) -> str:
        """The function's own name."""
        return getattr(self.function, "__name__", repr(self.function))

    def __call__(self, *values: Any, **more: Any) -> T:
        """Run the function on ``values`` with the stored arguments; ``more`` wins over them."""
        return self.function(*values, **{**dict(self.arguments), **more})


def call(function: Callable[..., T], **arguments: Any) -> Call[T]:
    """``call(f, a=1)(x)`` is ``f(x, a=1)``."""
    return Call(function, tuple(arguments.items()))


def check(spec: object, name: str) -> None:
    """Hold every field of a frozen dataclass against its annotation; for ``__post_init__``.

    Args:
        spec: An instance of a dataclass.
        name: What the user calls it, the first part of ``training.epochs``.

    Raises:
        BiosegError: A value is of another type, out of its :class:`Range`, or not among its literals.
    """
    hints = typing.get_type_hints(type(spec), include_extras=True)
    for field in dataclasses.fields(spec):  # type: ignore[arg-type]
        value = getattr(spec, field.name)
        if fault := mismatch(value, hints[field.name]):
            raise BiosegError(f"{name}.{field.name}: {_shown(value)}; {fault}".lstrip("."))


def mismatch(value: Any, hint: Any) -> str:
    """What to give instead of ``value`` where ``hint``, a type annotation, is wanted; empty where it fits."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = next((one for one in inner[1:] if isinstance(one, Range)), None)
        if (fault := mismatch(value, inner[0])) or bounds is None:
            return f"{fault}, {bounds}" if fault and bounds else fault
        return "" if value in bounds else f"give {bounds}"
    if origin in (typing.Union, types.UnionType):
        faults = [mismatch(value, one) for one in inner]
        return "" if "" in faults else " or ".join(faults[:1] + [fault.removeprefix("give ") for fault in faults[1:]])
    if origin is Literal:
        fits = any(value == one and type(value) is type(one) for one in inner)
        return "" if fits else f"choose {', '.join(map(str, inner))}"
    if origin is tuple:
        return _tuple_mismatch(value, inner)
    return _plain_mismatch(value, origin or hint)


def _tuple_mismatch(value: Any, inner: tuple[Any, ...]) -> str:
    wanted = [inner[0]] * len(value) if inner[-1:] == (...,) and isinstance(value, tuple) else list(inner)
    if not isinstance(value, tuple) or len(value) != len(wanted):
        return "give a list" if inner[-1:] == (...,) else f"give {len(inner)} values in brackets"
    return next((fault for one, hint in zip(value, wanted, strict=True) if (fault := mismatch(one, hint))), "")


def _plain_mismatch(value: Any, wanted: Any) -> str:
    if wanted is Callable:
        return "" if callable(value) else "give a function"
    if not isinstance(wanted, type):  # Any, a type variable: everything fits
        return ""
    if wanted is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return "" if fits else "give a number"
    if wanted is int:
        return "" if isinstance(value, int) and not isinstance(value, bool) else "give a whole number"
    if wanted is types.NoneType:
        return "" if value is None else "give null"
    words = {bool: "true or false", str: "a text"}
    return "" if isinstance(value, wanted) else f"give {words.get(wanted, f'a {wanted.__name__}')}"


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


@cache
def _signature(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    parameters = dict(inspect.signature(function).parameters)
    own = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        return parameters, typing.get_type_hints(own, include_extras=True)
    except (NameError, TypeError):  # a user's function may name types that exist for its type checker alone
        return parameters, {}
