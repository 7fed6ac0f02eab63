"""Keeps secrets out of what people read: settings, errors, logs."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

HIDDEN = "***"

SECRET: dict[str, Any] = {"secret": True}
"""Metadata of a field whose value is never shown."""

# Greedy up to the last @: a password that somebody forgot to quote may hold any of :/@ itself.
_PASSWORD = re.compile(r"(?<=://)([^\s:/@]*):\S*@")
_PARAMETER = re.compile(r"(?<=[?&])((?:password|secret|token)[^=&\s]*)=[^&\s]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text with the password of every URL in it hidden: scheme://user:password@host, ?password=…"""
    if "://" not in text:
        return text
    return _PARAMETER.sub(rf"\1={HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", text))


def visible(section: Any) -> dict[str, Any]:
    """Names and values of a section (any dataclass), with secrets hidden."""
    found = {}
    for field in fields(section):
        value = getattr(section, field.name)
        if field.metadata.get("secret"):
            value = HIDDEN if value else ""
        found[field.name] = without_password(value) if isinstance(value, str) else value
    return found
