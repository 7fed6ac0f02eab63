"""Settings from defaults, a file, the environment and the command line, each over the one before."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from configs.errors import ConfigError
from configs.settings import Settings, Storage

PREFIX = "LIM_"
SETTINGS_VARIABLE = "LIM_SETTINGS"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the source of each, by `section.field`."""

    settings: Settings
    sources: dict[str, str]
    path: Path | None


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave: from where, and whether as text."""

    value: Any
    source: str
    is_text: bool


def load(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, str] | None = None
) -> Loaded:
    """The effective settings.  Raises ConfigError naming key, expected, got and where it came from."""
    found = path or find_file(environ)
    given: dict[str, Given] = {}
    for layer in (_from_file(found), _from_environment(environ), _from_command_line(overrides or {})):
        given.update(layer)
    sections: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for section in fields(Settings):
        kind: Any = type(section.default)
        hints = get_type_hints(kind)
        values = {}
        for field in fields(kind):
            key = f"{section.name}.{field.name}"
            sources[key] = "default"
            if key in given:
                values[field.name] = _typed(
                    key, hints[field.name], given[key], secret=bool(field.metadata.get("secret"))
                )
                sources[key] = given[key].source
        sections[section.name] = kind(**values)
    return Loaded(Settings(**sections), sources, found)


def find_file(environ: Mapping[str, str]) -> Path | None:
    """$LIM_SETTINGS, ./lim.toml, or the file of a running `lim up`."""
    if named := environ.get(SETTINGS_VARIABLE):
        return Path(named)
    if (here := Path("lim.toml")).exists():
        return here
    up = up_file(environ)
    return up if up.exists() and _is_alive(up) else None


def up_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `lim up` writes the settings of its stack, for every other command to find."""
    state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME", "/root"), ".local", "state")
    return Path(state) / "lim" / "up.toml"


def _is_alive(up: Path) -> bool:
    """Whether the process named in the first line, `# pid N`, lives: a killed `lim up` leaves its file behind."""
    match = re.match(r"# pid (\d+)", up.read_text())
    return match is not None and Path("/proc", match.group(1)).exists()


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
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): give a settings file that is there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML, got something else ({error})") from None
    for section, values in data.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section}: expected a section of settings, got {type(values).__name__}")
        for name, value in values.items():
            yield _known(f"{section}.{name}", f"file {path}"), Given(value, f"file {path}", is_text=False)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """LIM_SECTION__FIELD; names without the double underscore belong to others."""
    for name, value in environ.items():
        if name.startswith(PREFIX) and "__" in name:
            section, _, field = name.removeprefix(PREFIX).lower().partition("__")
            yield _known(f"{section}.{field}", f"environment {name}"), Given(value, f"environment {name}", is_text=True)


def _from_command_line(overrides: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    for key, value in overrides.items():
        yield _known(key, "command line"), Given(value, "command line", is_text=True)


def _known(key: str, source: str) -> str:
    everything = [
        f"{section.name}.{field.name}"
        for section in fields(Settings)
        for field in fields(cast(Any, type(section.default)))
    ]
    if key in everything:
        return key
    near = difflib.get_close_matches(key, everything, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `lim settings` lists all"
    raise ConfigError(f"{key}: expected the name of a setting, got an unknown one ({source}){hint}")


def _typed(key: str, hint: Any, given: Given, *, secret: bool) -> Any:
    value = given.value
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        expected = "one of " + ", ".join(get_args(hint))
    elif given.is_text:
        try:
            return _parsed(hint, value)
        except ValueError:
            expected = hint.__name__
    else:
        if type(value) is hint or (hint is float and type(value) is int):
            return hint(value)
        expected = hint.__name__
    shown = "a secret of another type" if secret else repr(value)
    raise ConfigError(f"{key}: expected {expected}, got {shown} ({given.source})")


def _parsed(hint: Any, text: str) -> Any:
    if hint is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]
    return hint(text.replace("_", "") if hint is int else text)
