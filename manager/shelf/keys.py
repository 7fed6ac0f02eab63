"""Reads names of objects: of which index, of which build."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from pipeline.artifact import quoted

INDEXES, WORK = "indexes/", "work/"


class Part(NamedTuple):
    """An object of an index."""

    label: str
    index_id: str
    name: str
    """Within the folder of the index."""


def label_prefix(label: str) -> str:
    """Where all indexes of a label lie."""
    return f"{INDEXES}{quoted(label)}/"


def part_of(key: str) -> Part | None:
    """Which index an object belongs to; None for what lies there and is not named as we name things."""
    pieces = key.split("/", 3)
    if len(pieces) < 4 or f"{pieces[0]}/" != INDEXES or not pieces[1] or not pieces[2]:
        return None
    label, index_id = unquote(pieces[1]), unquote(pieces[2])
    if (quoted(label), quoted(index_id)) != (pieces[1], pieces[2]):
        return None
    return Part(label, index_id, pieces[3])
