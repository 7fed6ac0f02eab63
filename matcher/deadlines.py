"""Until when a request may be answered, by Redis' clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matcher.errors import BadRequest
from matcher.messages import Request

LATE = "its deadline passed before it could be searched: give it more time, or start more matchers"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request may ask for, by Redis' clock."""

    default_ttl_ms: int
    max_ttl_ms: int
    max_limit: int
    now_ms: Callable[[], float]

    def deadline(self, request: Request) -> float:
        """Milliseconds until when a request may be answered; a life that is no number is the default one."""
        try:
            ttl = request.number(b"ttl_ms", self.default_ttl_ms)
        except BadRequest:  # it is told so when it is decoded
            ttl = self.default_ttl_ms
        return request.added_ms + min(ttl, self.max_ttl_ms)
