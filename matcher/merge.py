"""Answers of shards or of labels become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import NamedTuple


class Candidate(NamedTuple):
    """A face of the index; a tuple, because ten of them are made for every answer."""

    id: str | int
    similarity: float
    """Cosine, -1 to 1."""


class Face(NamedTuple):
    """A candidate of a shard that was asked for people."""

    id: str | int
    similarity: float
    person: str | int
    """Whose face it is; empty when that is not known."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one shard answered."""

    watermark: int | None
    found: Sequence[Candidate] | Sequence[Face]


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
    shards: int = 1
    """Shards of the index."""
    missing: tuple[int, ...] = ()
    """Those that did not answer."""


def worst_last(found: Candidate | Face | Sighting) -> float:
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


def merge_people(parts: Sequence[Iterable[Face]], limit: int) -> tuple[Candidate, ...]:
    """The best face of each of the best `limit` people of all parts, best first; faces of nobody known differ.

    Each part has the best face of its own best `limit` people, so that nobody of the best of all is left out: whoever
    is among them is at least as good in the part that holds that face.
    """
    found: dict[tuple[bool, str | int], Candidate] = {}
    for face in merge(*parts, key=worst_last):
        if len(found) == limit:
            break
        unknown = face.person == ""
        found.setdefault((unknown, face.id if unknown else face.person), Candidate(face.id, face.similarity))
    return tuple(found.values())


def across(answers: Iterable[Answer], limit: int) -> tuple[Sighting, ...]:
    """The best `limit` of all labels, best first; the same id in two labels is two sightings."""
    lists = ([Sighting(found.id, found.similarity, answer.label) for found in answer.candidates] for answer in answers)
    return tuple(islice(merge(*lists, key=worst_last), limit))


def merge_parts(label: str, index_id: str, parts: Mapping[int, Part], shards: int, limit: int) -> Answer:
    """One answer of the answers of an index's shards, by shard; there is at least one.  Without some it is partial."""
    marks = [part.watermark for part in parts.values() if part.watermark is not None]
    watermark = min(marks) if len(marks) == len(parts) else None
    found = [parts[shard].found for shard in sorted(parts)]
    by_person = any(isinstance(one, Face) for some in found for one in some[:1])
    candidates = (merge_people if by_person else merge_shards)(found, limit)  # type: ignore[arg-type]
    missing = tuple(shard for shard in range(shards) if shard not in parts)
    return Answer(label, index_id, watermark, bool(missing), candidates, shards, missing)
