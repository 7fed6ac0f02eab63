"""Kinds of setting: a type with the bounds of its values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin


@dataclass(frozen=True, slots=True)
class Range:
    """A finite number from `low` to `high`, `low` itself excluded where `above`."""

    low: float
    high: float = math.inf
    above: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a number lies in it."""
        return math.isfinite(value) and self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        first = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        return first if self.high == math.inf else f"{first} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Form:
    """Text that matches `pattern` as a whole; `words` say what that is."""

    pattern: str
    words: str

    def holds(self, value: Any) -> bool:
        """Whether a text has it."""
        return re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        return self.words


Count = Annotated[int, Range(1)]
CountOrAuto = Annotated[int, Range(0)]
"""0 = decided by the program."""
Seed = Annotated[int, Range(0, 2**31 - 1)]
Port = Annotated[int, Range(0, 65_535)]
Number = Annotated[float, Range(-math.inf)]
Seconds = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
"""0 and 1 are possible."""
Rate = Annotated[float, Range(0, 0.5, above=True)]
"""A share of errors: 0 cannot be reached, and more than half is no target."""
OneOrTwo = Annotated[int, Range(1, 2)]
Limit = Annotated[float, Range(0)]
"""0 = no limit."""
Confidence = Annotated[float, Range(0.5, 0.999999)]
RedisUrl = Annotated[str, Form(r"(rediss?|unix)://.+", "redis://…, rediss://… or unix://…")]
RedisUrlOrNone = Annotated[
    str, Form(r"|(rediss?|unix|rediss?\+sentinel)://.+", "redis://…, rediss://…, redis+sentinel://…, unix://… or empty")
]
HttpUrl = Annotated[str, Form(r"|https?://.+", "http://…, https://… or empty")]
SchedulerUrl = Annotated[str, Form(r"|serial|\w+://.+", "tcp://…, `serial` or empty")]
Token = Annotated[str, Form(r"|[!-~]{16,}", "16 or more printable ASCII characters without spaces, or empty")]
Word = Annotated[str, Form(r"\S+", "a name without spaces")]


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def described(kind: Any) -> str:
    """What a value of a kind may be, in words: "int from 1"."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is Annotated:
        base, bounds = get_args(kind)
        return str(bounds) if base is str else f"{base.__name__} {bounds}"
    return "true or false" if kind is bool else str(kind.__name__)


def read(kind: Any, value: Any, *, is_text: bool) -> Any:
    """The value of a setting of this kind; ValueError where it is none.

    `is_text` says that it came as text (environment, command line), which is converted; a value from TOML has a type
    already, which must be the right one, but a whole number is as good as a float.
    """
    if get_origin(kind) is Literal:
        return _checked(value, value in get_args(kind))
    base, bounds = get_args(kind) if get_origin(kind) is Annotated else (kind, None)
    if is_text:
        value = _truth(value) if base is bool else base(value)
    elif base is float and type(value) is int:
        value = float(value)
    return _checked(value, type(value) is base and (bounds is None or bounds.holds(value)))


def _truth(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return _WORDS[text.lower()]


def _checked(value: Any, is_good: bool) -> Any:
    if not is_good:
        raise ValueError(value)
    return value
