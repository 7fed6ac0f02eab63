"""Loads the settings: defaults, a file, the environment, the command line, each over the one before."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast, get_type_hints

from configs.discovery import find_file
from configs.errors import ConfigError
from configs.hiding import without_password
from configs.kinds import described, read
from configs.settings import Settings, Storage

PREFIX = "LIM_"

ORDERED = (
    ("matcher.announce_every_s", "matcher.announce_ttl_s"),
    ("matcher.default_ttl_ms", "matcher.max_ttl_ms"),
)
"""The first of each may not exceed the second."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the source of each, by `section.field`: default, file PATH, environment NAME, command line."""

    settings: Settings
    sources: dict[str, str]
    path: Path | None


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave, and where; text is yet to be converted."""

    value: Any
    source: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one setting."""

    kind: Any
    is_secret: bool


@cache
def known() -> dict[str, Known]:
    """Every setting by `section.field`."""
    found = {}
    for section in fields(Settings):
        kinds = get_type_hints(cast(Any, type(section.default)), include_extras=True)
        for field in fields(cast(Any, section.default)):
            is_secret = bool(field.metadata.get("secret"))
            found[f"{section.name}.{field.name}"] = Known(kinds[field.name], is_secret)
    return found


def load(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, str] | None = None
) -> Loaded:
    """The effective settings.  Raises ConfigError naming key, expected, got and where it came from."""
    found = path or find_file(environ)
    given: dict[str, Given] = {}
    for layer in (_from_file(found), _from_environment(environ), _from_command_line(overrides or {})):
        given.update(layer)
    values: dict[str, dict[str, Any]] = {section.name: {} for section in fields(Settings)}
    sources = {}
    for key, setting in known().items():
        sources[key] = given[key].source if key in given else "default"
        if key in given:
            section, _, name = key.partition(".")
            values[section][name] = _value(key, setting, given[key])
    settings = Settings(
        **{section.name: cast(Any, type(section.default))(**values[section.name]) for section in fields(Settings)}
    )
    loaded = Loaded(settings, sources, found)
    _check_order(loaded)
    return loaded


def changed(settings: Settings, texts: Mapping[str, str], source: str) -> Settings:
    """The settings with some others, by `section.field`, as text; `source` says who gave them.

    Raises ConfigError as `load` does.
    """
    for key, text in texts.items():
        _check_known(key, source)
        section, _, name = key.partition(".")
        value = _value(key, known()[key], Given(text, source, is_text=True))
        settings = replace(settings, **{section: replace(getattr(settings, section), **{name: value})})
    return settings


def export_credentials(storage: Storage, environ: dict[str, str] | None = None) -> None:
    """Put the S3 keys where every library and child process finds them, so that nothing else has to carry them."""
    target = os.environ if environ is None else environ
    for name, value in (("AWS_ACCESS_KEY_ID", storage.access_key), ("AWS_SECRET_ACCESS_KEY", storage.secret_key)):
        if value:
            target[name] = value


def _from_file(path: Path | None) -> Iterator[tuple[str, Given]]:
    if path is None:
        return
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): name a settings file that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, got something else ({error})") from None
    source = f"file {path}"
    for section, values in data.items():
        if not isinstance(values, dict):
            raise ConfigError(
                f"{section}: expected a section, [{section}] with its settings under it, "
                f"got {type(values).__name__} ({source})"
            )
        for name, value in values.items():
            key = f"{section}.{name}"
            _check_known(key, source)
            yield key, Given(value, source, is_text=False)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """LIM_SECTION__FIELD; names without the double underscore belong to others."""
    for name, value in environ.items():
        if name.startswith(PREFIX) and "__" in name:
            key = name.removeprefix(PREFIX).lower().replace("__", ".", 1)
            _check_known(key, f"environment {name}", as_variable=True)
            yield key, Given(value, f"environment {name}", is_text=True)


def _from_command_line(overrides: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    for key, value in overrides.items():
        _check_known(key, "command line")
        yield key, Given(value, "command line", is_text=True)


def variable(key: str) -> str:
    """The environment variable of a setting: LIM_SECTION__FIELD."""
    return PREFIX + key.replace(".", "__").upper()


def _check_known(key: str, source: str, *, as_variable: bool = False) -> None:
    everything = known()
    if key in everything:
        return
    # the section may be the wrong part: a field of that name elsewhere is nearer than another field of the section
    same_name = [one for one in everything if one.partition(".")[2] == key.rpartition(".")[2]]
    near = difflib.get_close_matches(key, everything, n=1) or same_name[:1]
    hint = f"did you mean {variable(near[0]) if as_variable else near[0]}?" if near else "`lim settings` lists all"
    raise ConfigError(f"{key}: expected the name of a setting, got an unknown one ({source}); {hint}")


def _value(key: str, setting: Known, given: Given) -> Any:
    try:
        return read(setting.kind, given.value, is_text=given.is_text)
    except ValueError:
        got = "a secret that is none" if setting.is_secret else without_password(repr(given.value))
        raise ConfigError(f"{key}: expected {described(setting.kind)}, got {got} ({given.source})") from None


def _check_order(loaded: Loaded) -> None:
    for less, more in ORDERED:
        values = []
        for key in (less, more):
            section, _, name = key.partition(".")
            values.append(getattr(getattr(loaded.settings, section), name))
        if values[0] > values[1]:
            raise ConfigError(
                f"{less}: expected at most {more}, which is {values[1]} ({loaded.sources[more]}), "
                f"got {values[0]} ({loaded.sources[less]})"
            )
