"""Orders from a form or a JSON body, checked as `lim build` checks them, with a message for each wrong field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args, get_type_hints

from configs.errors import LimError
from configs.load import changed
from configs.settings import Build, Settings
from pipeline.order import Order, check_label, listed

RECIPES = get_args(get_type_hints(Build)["recipe"])

FIELDS = ("source", "label", "probes", "recipe", "shards", "options")
"""Of a form; a JSON body may give `shards` as a number and `options` as an object."""

FREE = ("build.", "quality.", "source.", "images.")
"""Sections that an order may change; where things are is the scheduler's own affair."""

MOST_CHARACTERS = 10_000
"""Of one field."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A build to start: the order, and the settings in force for it."""

    order: Order
    settings: Settings
    fields: dict[str, str]
    """As they were given, to show them again."""


class Refused(LimError):
    """An order that cannot be begun; `errors` by field, each with what was expected, what came, what to do."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def fields_of(body: Any) -> dict[str, str]:
    """The fields of a JSON body as texts; raises Refused for what is no object, or has unknown or unfit fields."""
    if not isinstance(body, dict):
        raise Refused({"body": f"expected a JSON object with {', '.join(FIELDS)}, got {type(body).__name__}"})
    errors, found = {}, {}
    for name, value in body.items():
        if name not in FIELDS:
            errors[str(name)] = f"{name}: expected one of {', '.join(FIELDS)}, got an unknown field"
        elif name == "options" and isinstance(value, dict):
            found[name] = "\n".join(f"{key}={_text(one)}" for key, one in value.items())
        elif isinstance(value, str) or (name == "shards" and type(value) is int):
            found[name] = str(value)
        else:
            errors[name] = f"{name}: expected text, got {type(value).__name__}"
    if errors:
        raise Refused(errors)
    return found


def ordered(fields: Mapping[str, str], settings: Settings) -> Ordered:
    """The order that the fields make, as far as they say; raises Refused."""
    given = {name: fields.get(name, "").strip() for name in FIELDS}
    errors = {name: f"{name}: expected at most {MOST_CHARACTERS} characters" for name, text in given.items()
              if len(text) > MOST_CHARACTERS}  # fmt: skip
    if not given["source"]:
        errors["source"] = "source: expected a file, a folder or a glob, or its URL, got nothing"
    for name in ("source", "probes"):
        if given[name] and not given[name].isprintable():
            errors[name] = f"{name}: expected printable characters, got {given[name]!r}"
    try:
        check_label(given["label"])
    except LimError as error:
        errors["label"] = str(error)
    texts = {f"build.{name}": given[name] for name in ("recipe", "shards") if given[name]}
    for name, some in (("recipe", "build.recipe"), ("shards", "build.shards"), ("options", "")):
        try:
            chosen = options_of(given["options"]) if not some else {some: texts[some]} if some in texts else {}
            settings = changed(settings, chosen, "form")
        except LimError as error:
            errors[name] = str(error)
    if errors:
        raise Refused(errors)
    return Ordered(Order(given["source"], given["label"], given["probes"]), settings, given)


def look(ordered: Ordered) -> None:
    """See what is at each place that the build will read; takes as long as their listings.  Raises Refused."""
    order, calibration = ordered.order, ordered.settings.build.calibration
    settings = replace(ordered.settings, build=replace(ordered.settings.build, calibration=""))
    errors = {}
    for name, url in (("source", order.source), ("probes", order.probes), ("options", calibration)):
        try:
            if url:
                listed(Order(url, order.label), settings)
        except LimError as error:
            errors[name] = str(error)
    if errors:
        raise Refused(errors)


def options_of(text: str) -> dict[str, str]:
    """Settings, one a line; raises Refused for those that an order may not change."""
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, sign, value = line.partition("=")
        if not sign:
            raise Refused({"options": f"options: expected section.field=value on each line, got {line!r}"})
        key = key.strip()
        if not key.startswith(FREE):
            raise Refused(
                {"options": f"options: expected a setting of {', '.join(one + '*' for one in FREE)}, got {key!r}"}
            )
        found[key] = value.strip()
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
