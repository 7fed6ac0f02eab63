"""A request on its way: what is needed to send it again, and what came back so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from matcher.errors import BY_CODE, MatchError, Stale
from matcher.merge import Answer, Candidate, merged


@dataclass(slots=True)
class Flight:
    """Lives until it is answered or its deadline passes."""

    rid: str
    label: str
    fields: list[bytes | str | int]
    """Flat fields of the stream entry but `ttl_ms`."""
    limit: int
    deadline: float
    """Loop time."""
    future: asyncio.Future[Answer]
    repeat_at: float
    """Loop time at which it is sent again; an answer may have been lost with a matcher or a connection."""
    repeat_s: float
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Answers of shards by number."""

    def take(self, message: dict[str, Any]) -> bool:
        """Use an answer; says whether the flight is over.  Raises Stale when it must go to another index."""
        if self.future.done():
            return True
        if error := message.get("error"):
            kind = BY_CODE.get(error["error_code"], MatchError)
            if kind is Stale:
                raise Stale(error["detail"])
            self.future.set_exception(kind(error["detail"]))
            return True
        if message["shards"] == 1:
            self._land([message], partial=False)
            return True
        if self.parts and next(iter(self.parts.values()))["index_id"] != message["index_id"]:
            self.parts.clear()  # never a mixture: the flight was repeated to a newer index
        self.parts[message["shard"]] = message
        if len(self.parts) < message["shards"]:
            return False
        self._land(list(self.parts.values()), partial=False)
        return True

    def expire(self, error: MatchError) -> None:
        """The deadline passed: what some shards said is a partial answer."""
        if self.future.done():
            return
        if self.parts:
            self._land(list(self.parts.values()), partial=True)
        else:
            self.future.set_exception(error)

    def _land(self, messages: list[dict[str, Any]], *, partial: bool) -> None:
        lists = [tuple(map(Candidate._make, message["result"])) for message in messages]
        candidates = lists[0] if len(lists) == 1 else merged(lists, self.limit)
        first = messages[0]
        watermark = min(message["watermark"] for message in messages)
        self.future.set_result(Answer(first["label"], first["index_id"], watermark, candidates, partial))
