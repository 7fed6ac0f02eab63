"""Answers of shards or of labels become one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple


class Candidate(NamedTuple):
    """A row that is similar to the probe."""

    id: str | int
    similarity: float


class Sighting(NamedTuple):
    """A candidate of one of several labels."""

    id: str | int
    similarity: float
    label: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The best candidates for one probe, best first."""

    label: str
    index_id: str
    watermark: int
    candidates: tuple[Candidate, ...]
    partial: bool = False
    """A shard did not answer before the deadline."""


def merged(parts: Iterable[Sequence[Candidate]], limit: int) -> tuple[Candidate, ...]:
    """The best `limit` of lists that are each best first; equal similarities stay in the order of the lists."""
    return tuple(islice(heapq.merge(*parts, key=lambda one: -one.similarity), limit))


def across(answers: Iterable[Answer], limit: int) -> tuple[Sighting, ...]:
    """The best `limit` of several labels, each with the label where it was found."""
    lists = [[Sighting(one.id, one.similarity, answer.label) for one in answer.candidates] for answer in answers]
    return tuple(islice(heapq.merge(*lists, key=lambda one: -one.similarity), limit))
