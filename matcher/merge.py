"""Answers of shards or of labels become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import NamedTuple


class Candidate(NamedTuple):
    """A face of the index; a tuple, because ten of them are made for every answer."""

    id: str | int
    similarity: float
    """Cosine, -1 to 1."""


class Sighting(NamedTuple):
    """A candidate of one of several labels."""

    id: str | int
    similarity: float
    label: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The most similar faces of one label, best first."""

    label: str
    index_id: str
    """The one index that all candidates come from."""
    watermark: int | None
    """How far the index follows its source, the least of its shards; None when it does not say."""
    partial: bool
    """Whether shards of the index are missing from it; only where the request allowed that."""
    candidates: tuple[Candidate, ...]


def worst_last(found: Candidate | Sighting) -> float:
    """Sorting key: the most similar first."""
    return -found.similarity


def merge_shards(parts: Sequence[Iterable[Candidate]], limit: int) -> tuple[Candidate, ...]:
    """The best `limit` of all parts, best first; an id that several parts name counts once, at its best.

    Shards follow the log of additions each at its own pace, so for a moment two may name the same face.
    Equal similarities keep the order of the parts.
    """
    found: dict[str | int, Candidate] = {}
    for candidate in merge(*parts, key=worst_last):
        if len(found) == limit:
            break
        found.setdefault(candidate.id, candidate)
    return tuple(found.values())


def across(answers: Iterable[Answer], limit: int) -> tuple[Sighting, ...]:
    """The best `limit` of all labels, best first; the same id in two labels is two sightings."""
    lists = ([Sighting(found.id, found.similarity, answer.label) for found in answer.candidates] for answer in answers)
    return tuple(islice(merge(*lists, key=worst_last), limit))


def merge_answers(parts: Sequence[Answer], limit: int, *, partial: bool) -> Answer:
    """One answer of the answers of an index's shards; there is at least one, and all are of one index."""
    first = parts[0]
    marks = [part.watermark for part in parts if part.watermark is not None]
    watermark = min(marks) if len(marks) == len(parts) else None
    candidates = merge_shards([part.candidates for part in parts], limit)
    return Answer(first.label, first.index_id, watermark, partial, candidates)
