"""Specifications as values: frozen dataclasses that are valid once built, and functions with their arguments."""

import dataclasses
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from bioseg.types import BiosegError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


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
Whole = Annotated[int, Range(0)]
"""0, 1, 2 …"""
Width = Annotated[int, Range(1, 2048)]
"""Channels of a layer of a network."""
Seed = Annotated[int, Range(0, 2**31 - 1)]
"""Of anything drawn at random."""


@dataclass(frozen=True)
class Matches:
    """What a text looks like, for ``Annotated[str, Matches(r"timm:\\w+", "timm:NAME")]``.

    Attributes:
        pattern: Regular expression of the whole text.
        words: The same for people.
    """

    pattern: str
    words: str


@dataclass(frozen=True)
class Takes:
    """What a function is called with, for ``Annotated[Call[Split], Takes(1)]``.

    Attributes:
        values: Positional arguments.
        names: Keyword arguments, besides those of the :class:`Call`.
    """

    values: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Own:
    """That a function is the user's own and none of bioseg's, for ``Annotated[Call[Any], Own()]``."""


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """A function with its keyword arguments: a value that can be compared, written as JSON and run.

    Attributes:
        function: A module-level function or class.
        arguments: (name, value) pairs in order; the rest is given when it is called.
    """

    function: Callable[..., T_co]
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
                known = [
                    key
                    for key, one in parameters.items()
                    if one.kind is one.KEYWORD_ONLY or one.default is not one.empty
                ]
                raise BiosegError(f"{self.name}: takes no argument {name!r}; it has: {', '.join(known) or 'none'}")
            if fault := mismatch(value, hints.get(name, Any)):
                raise BiosegError(f"{self.name}.{name}: {shown(value)}; {fault}")

    @property
    def name(self) -> str:
        """The function's own name."""
        return getattr(self.function, "__name__", repr(self.function))

    def __call__(self, *values: Any, **more: Any) -> T_co:
        """Run the function on ``values`` with the stored arguments; ``more`` wins over them."""
        return self.function(*values, **{**dict(self.arguments), **more})


def call(function: Callable[..., T], **arguments: Any) -> Call[T]:
    """``call(f, a=1)(x)`` is ``f(x, a=1)``."""
    return Call(function, tuple(arguments.items()))


def describe(what: Call[Any]) -> str:
    """A call as a message names it: ``pretrained_unet(encoder=lite0, outputs=2)``."""
    return f"{what.name}({', '.join(f'{name}={value}' for name, value in what.arguments)})"


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
            raise BiosegError(f"{name}.{field.name}: {shown(value)}; {fault}".lstrip("."))


def mismatch(value: Any, hint: Any) -> str:
    """What to give instead of ``value`` where ``hint``, a type annotation, is wanted; empty where it fits."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return mismatch(value, inner[0]) + _bounds(value, inner[0], inner[1:])
    if origin in (typing.Union, types.UnionType):
        faults = [mismatch(value, one) for one in inner]
        return "" if "" in faults else " or ".join(faults[:1] + [fault.removeprefix("give ") for fault in faults[1:]])
    if origin is Literal:
        fits = any(value == one and type(value) is type(one) for one in inner)
        return "" if fits else f"choose {', '.join(map(str, inner))}"
    if origin is tuple:
        return _tuple_mismatch(value, inner)
    if origin in (list, Sequence):
        fits = isinstance(value, list if origin is list else list | tuple)
        return next(filter(None, (mismatch(one, inner[0]) for one in value)), "") if fits else "give a list"
    if origin is dict:
        parts = (
            [pair for item in value.items() for pair in zip(item, inner, strict=True)] if type(value) is dict else []
        )
        return next(filter(None, (mismatch(*pair) for pair in parts)), "" if type(value) is dict else "give an object")
    if origin is Call:
        return _result_mismatch(value.function, inner[0]) if isinstance(value, Call) else "give a function"
    if origin is Callable:
        faulty = not callable(value) or _call_mismatch(value, len(inner[0])) or _result_mismatch(value, inner[1])
        return ("give a function" if faulty is True else faulty) or ""
    return _plain_mismatch(value, origin or hint)


def _bounds(value: Any, hint: Any, bounds: tuple[Any, ...]) -> str:
    """What :class:`Range`, :class:`Matches`, :class:`Takes` and :class:`Own` of an annotation add to the mismatch of its type."""
    fits = not mismatch(value, hint)
    for bound in bounds:
        if isinstance(bound, Range) and not (fits and value in bound):
            return f"give {bound}" if fits else f", {bound}"
        if isinstance(bound, Matches) and not (fits and re.fullmatch(bound.pattern, value)):
            return f"give {bound.words}" if fits else f", {bound.words}"
        if isinstance(bound, Takes) and fits and value is not None:
            names = {*bound.names, *dict(value.arguments)}
            if fault := _call_mismatch(value.function, bound.values, tuple(names)):
                return fault
        if isinstance(bound, Own) and fits and value is not None and value.function.__module__.startswith("bioseg."):
            return "give a function of your own"
    return ""


def _tuple_mismatch(value: Any, inner: tuple[Any, ...]) -> str:
    wanted = [inner[0]] * len(value) if inner[-1:] == (...,) and isinstance(value, tuple) else list(inner)
    if not isinstance(value, tuple) or len(value) != len(wanted):
        return "give a list" if inner[-1:] == (...,) else f"give {len(inner)} values in brackets"
    return next((fault for one, hint in zip(value, wanted, strict=True) if (fault := mismatch(one, hint))), "")


def _call_mismatch(function: Callable[..., Any], values: int, names: tuple[str, ...] = ()) -> str:
    """Whether a function can be called with so many values and with the arguments of these names."""
    try:
        inspect.signature(function).bind(*[None] * values, **dict.fromkeys(names))
    except TypeError as fault:
        return f"called with {values} values: {fault}"
    except ValueError:  # written in C, without a signature
        return ""
    return ""


def _result_mismatch(function: Callable[..., Any], wanted: Any) -> str:
    """Whether a function's annotation says that it returns something else than what is wanted."""
    found = function if isinstance(function, type) else _signature(function)[1].get("return", Any)
    if found is Any or wanted is Any or isinstance(wanted, TypeVar) or found == wanted:
        return ""
    if isinstance(found, type) and isinstance(wanted, type) and issubclass(found, wanted):
        return ""
    return f"give a function that returns {getattr(wanted, '__name__', wanted)}"


def _plain_mismatch(value: Any, wanted: Any) -> str:
    if wanted is Any or not isinstance(wanted, type) or getattr(wanted, "_is_protocol", False):  # everything fits
        return ""
    if wanted is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        return "" if fits else "give a number"
    if wanted is int:
        return "" if isinstance(value, int) and not isinstance(value, bool) else "give a whole number"
    if wanted is types.NoneType:
        return "" if value is None else "give null"
    words = {bool: "true or false", str: "a text"}
    return "" if isinstance(value, wanted) else f"give {words.get(wanted, f'a {wanted.__name__}')}"


def shown(value: Any) -> str:
    """A value as a message shows it: as Python or, for null, JSON writes it, cut after 80 characters."""
    text = "null" if value is None else value.name if isinstance(value, Call) else _text(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _text(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # a whole number of more than 4,300 digits
        return "a number of thousands of digits"


@cache
def _signature(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], dict[str, Any]]:
    try:
        parameters = dict(inspect.signature(function).parameters)
    except ValueError:  # written in C
        parameters = {"arguments": inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)}
    own = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    try:
        return parameters, typing.get_type_hints(own, include_extras=True)
    except (NameError, TypeError):  # a user's function may name types that exist for its type checker alone
        return parameters, {}
