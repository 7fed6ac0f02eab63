"""A URL with {label} in it: where the list of a label is, which label a file belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fsspec.utils import glob_translate

from configs.errors import ConfigError
from configs.hiding import without_password
from pipeline.sources.endings import kind_of
from pipeline.sources.errors import SourceMissing
from pipeline.sources.places import Place, hidden

LABEL = "{label}"

_MARK = "0label0"
"""Stands for the label while a path is looked at: a name in which no sign means anything."""

_SIGNS = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where to list, and how to tell the labels of what lies there."""

    fs: Any
    folder: str
    begun: str
    """What names in the folder begin with."""
    depth: int
    """Levels to list; 0 = all."""
    pattern: re.Pattern[str]

    def label_of(self, path: str) -> str:
        """The label that a file belongs to; empty where it belongs to none, or is hidden in a list's folder."""
        matched = self.pattern.match(path)
        if matched is None or hidden(matched.groupdict().get("rest") or "x"):
            return ""
        return str(matched["label"])


@dataclass(frozen=True, slots=True)
class Template:
    """A file, a glob or a folder of each label.  Raises ConfigError for a text that names none."""

    text: str

    def __post_init__(self) -> None:
        """Refuse what says nothing about labels."""
        if LABEL not in self.text or _MARK in self.text:
            raise ConfigError(
                f"source.template: expected where the descriptors of a list are, such as s3://lists/{LABEL}/*.parquet, "
                f"got {without_password(self.text)!r}"
            )

    @property
    def is_folder(self) -> bool:
        """Whether it names a folder, with everything beneath it."""
        return not kind_of(self.text) and not _SIGNS.search(self.text)

    def fill(self, label: str) -> str:
        """The URL of a label's list, in which signs of the label mean only themselves.

        Raises SourceMissing for a label that would lead elsewhere.
        """
        if label in ("", ".", "..") or "/" in label or "::" in label or not label.isprintable():
            raise SourceMissing(
                f"label {label!r}: expected a name that can be a part of {without_password(self.text)}, printable and without "
                "/ or ::, or a source of its own"
            )
        # a folder is looked for before its name is taken for a glob; so is a file, but it may be gone
        return self.text.replace(LABEL, label if self.is_folder else _SIGNS.sub(r"[\g<0>]", label))

    def layout(self, place: Place, label: str = "") -> Layout:
        """For all labels, or for one of them; `place` says behind which endpoint.

        Raises ConfigError where labels could not be told from what surrounds them.
        """
        fs, path = place.at(self.text.replace(LABEL, _MARK)).open()
        around = [part for part in path.split("/") if _MARK in part]
        if not label and (any(_SIGNS.search(part) for part in around) or "/" not in path.partition(_MARK)[0]):
            raise ConfigError(
                f"source.template: expected a folder before {LABEL} and no *, ? or [ in the same part of the path, so that "
                f"labels can be told from what is there, got {without_password(self.text)!r}"
            )
        steady = _SIGNS.split(path)[0] + ("/" if self.is_folder else "")
        folder, _, last = (steady if label else steady.partition(_MARK)[0]).rpartition("/")
        begun, mark, _ = last.partition(_MARK)  # what lies beside a file begins with its label, too
        depth = 0 if self.is_folder or "**" in path else path.count("/") - folder.count("/")
        return Layout(
            fs, folder.replace(_MARK, label) or "/", begun + (label if mark else ""), depth, self._pattern(path, label)
        )

    def _pattern(self, path: str, label: str) -> re.Pattern[str]:
        text = re.escape(path) + "/(?P<rest>.+)" if self.is_folder else glob_translate(path)
        first, second, *others = text.split(_MARK)
        named = f"(?P<label>{re.escape(label) if label else '[^/]+'})"
        return re.compile("(?P=label)".join([first + named + second, *others]))
