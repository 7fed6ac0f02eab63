"""Reads what a request asks: every mistake names the field, what was expected and what came."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request

from manager.errors import BadRequest
from pipeline.web.bodies import read_json

MOST_IN_LIST = 1_000
MOST_IN_PAGE = 1_000
USUAL_PAGE = 100
MOST_OFFSET = 1_000_000_000

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+\- ]\d\d:\d\d)")
"""RFC 3339; a space before the offset is a + that was not quoted."""


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of an address."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, request: Request, *names: str) -> Query:
        """Those of these names; raises BadRequest for others."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in request.query_params.multi_items():
            if name not in names:
                known = ", ".join(names) or "no parameter"
                raise BadRequest(f"{name}: expected {known}, got a parameter of an unknown name")
            found[name] = (*found.get(name, ()), value)
        return cls(found)

    def text(self, name: str) -> str:
        """One text; empty where it is not given."""
        given = self.values.get(name, ("",))
        if len(given) > 1:
            raise BadRequest(f"{name}: expected it once, got it {len(given)} times")
        return given[0]

    def words(self, name: str) -> tuple[str, ...]:
        """Texts with commas between, or the parameter several times."""
        found = tuple(word.strip() for value in self.values.get(name, ()) for word in value.split(","))
        if name in self.values and not all(found):
            raise BadRequest(f"{name}: expected one or more texts with commas between, got an empty one")
        if len(found) > MOST_IN_LIST:
            raise BadRequest(f"{name}: expected at most {MOST_IN_LIST:,}, got {len(found):,}")
        return found

    def number(self, name: str, usual: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        if name not in self.values:
            return usual
        text = self.text(name)
        if not re.fullmatch(r"-?[0-9]{1,15}", text) or not low <= int(text) <= high:
            raise BadRequest(f"{name}: expected a whole number from {low:,} to {high:,}, got {text[:40]!r}")
        return int(text)

    @property
    def limit(self) -> int:
        """Most entries of a page."""
        return self.number("limit", USUAL_PAGE, 1, MOST_IN_PAGE)

    @property
    def offset(self) -> int:
        """Where a page begins, for what is counted through: a cursor that `page` made."""
        if "cursor" not in self.values:
            return 0
        text = self.text("cursor")
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise BadRequest(f"cursor: expected the `next` of a page before, got {text[:40]!r}")
        return int(text)

    def page(self, count: int) -> str | None:
        """The cursor of the page behind this one, where there are `count` in all; None where there is none."""
        return str(self.offset + self.limit) if self.offset + self.limit < count else None

    def moment(self, name: str) -> float:
        """A time of RFC 3339 as seconds since 1970; 0.0 where it is not given."""
        if name not in self.values:
            return 0.0
        text = self.text(name)
        try:
            return _seconds(text)
        except (ValueError, OverflowError):
            raise BadRequest(
                f"{name}: expected a time of RFC 3339 such as 2026-01-31T12:00:00Z, got {text[:40]!r}"
            ) from None


def _seconds(text: str) -> float:
    found = _MOMENT.fullmatch(text)
    if found is None or not found[3] <= "60":
        raise ValueError(text)
    day, minute, second, part, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone.replace(" ", "+")
    whole = datetime.fromisoformat(f"{day}T{minute}:{min(int(second), 59):02}{zone}")  # leap seconds are not counted
    return whole.timestamp() + float(part or 0)


Kind = tuple[str, Callable[[Any], bool]]
"""What is expected, with whether a value is it."""

TEXT: Kind = ("text", lambda value: isinstance(value, str))
WHOLE: Kind = (
    "a whole number",
    lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
)
"""1.0 is one to JSON Schema."""
TRUTH: Kind = ("true or false", lambda value: isinstance(value, bool))
OPTIONS: Kind = (
    "an object of settings, each a text, a number, true or false",
    lambda value: isinstance(value, dict) and all(isinstance(one, str | int | float) for one in value.values()),
)


async def body_of(request: Request, known: Mapping[str, Kind], required: Iterable[str]) -> dict[str, Any]:
    """The fields of a JSON object; raises BadRequest with everything that is wrong."""
    try:
        body = await read_json(request)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(body, dict):
        raise BadRequest(f"body: expected a JSON object with {', '.join(known)}, got {type(body).__name__}")
    wrong = [f"{name}: expected {known[name][0]}, got nothing" for name in required if name not in body]
    for name, value in body.items():
        if name not in known:
            wrong.append(f"{name[:100]}: expected one of {', '.join(known)}, got an unknown field")
        elif not known[name][1](value):
            wrong.append(f"{name}: expected {known[name][0]}, got {type(value).__name__}")
    if wrong:
        raise BadRequest("; ".join(wrong))
    return {name: int(value) if known[name] is WHOLE else value for name, value in body.items()}


def as_text(value: Any) -> str:
    """A setting's value as a command line would give it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
