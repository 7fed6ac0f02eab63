"""What a client gets back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from matcher.errors import BY_CODE, MatchError, SearchFailed


class Candidate(NamedTuple):
    """A face of the index; a tuple, because ten of them are made for every answer."""

    id: str | int
    similarity: float
    """Cosine, -1 to 1."""


class Sighting(NamedTuple):
    """A face of one of several labels."""

    label: str
    id: str | int
    similarity: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The most similar faces of one label, best first."""

    label: str
    index_id: str
    """The one index that all candidates come from."""
    watermark: str | None
    """How far the index follows its source; None when it does not say, or its shards differ."""
    partial: bool
    """Whether shards of the index are missing from it; only where the request allowed that."""
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Sightings:
    """The most similar faces of several labels, best first."""

    answers: tuple[Answer, ...]
    """One for each label that answered, in the order asked."""
    refused: tuple[tuple[str, MatchError], ...]
    """Labels that did not answer, with the reason."""
    candidates: tuple[Sighting, ...]


def error_of(label: str, error: Any) -> MatchError:
    """The exception that an error of the wire means."""
    if not isinstance(error, dict):
        return SearchFailed(f"{label}: the matcher refused without a reason: {error!r}")
    code, detail = error.get("error_code"), error.get("detail") or error.get("desc") or "no detail"
    kind = BY_CODE.get(code) if isinstance(code, int) else None
    if kind is None:
        return SearchFailed(f"{label}: the matcher refused with the unknown code {code}: {detail}")
    text = str(detail)
    return kind(text if label in text else f"{label}: {text}")
