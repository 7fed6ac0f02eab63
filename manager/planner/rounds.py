"""What a look of the planner came to, kept in Redis for whoever shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from redis.asyncio import Redis

from manager.connecting import reaching

LAST = "lim:planner:last"
"""JSON of the last round."""

KEPT_S = 90 * 86_400
MOST = 200
"""Entries of each kind that are kept; `counts` has how many there were."""


@dataclass(slots=True)
class Round:
    """One look at all lists.  Times are seconds since 1970; entries are by label."""

    began: float = 0.0
    ended: float = 0.0
    next: float = 0.0
    """When the next one is due; 0 = never."""
    by: str = ""
    """The manager that led, by its address."""
    fence: int = 0
    lists: int = 0
    """Lists that there were."""
    opened: int = 0
    """Those that had to be opened, because they were new or had changed."""
    due: int = 0
    """Those whose content differs from that of their newest index."""
    submitted: dict[str, str] = field(default_factory=dict)
    """Ids of new tasks."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Due, but a task of it waits or is being built: its id."""
    resting: dict[str, str] = field(default_factory=dict)
    """Due, but left in peace for now: why."""
    errors: dict[str, str] = field(default_factory=dict)
    """Lists with which something went wrong."""
    problem: str = ""
    """Why the round as a whole ended early; another follows soon."""

    @property
    def counts(self) -> dict[str, int]:
        """How many entries of each kind."""
        return {name: len(getattr(self, name)) for name in ("submitted", "waiting", "resting", "errors")}

    def to_json(self) -> dict[str, Any]:
        """JSON fields, at most MOST entries of each kind."""
        found = asdict(self)
        for name in self.counts:
            found[name] = dict(sorted(found[name].items())[:MOST])
        return found | {"counts": self.counts}


async def tell(redis: Redis, done: Round) -> None:
    """Keep it as the last one.  Raises Unavailable."""
    with reaching(redis):
        await redis.set(LAST, json.dumps(done.to_json()), ex=KEPT_S)


async def last_round(redis: Redis) -> dict[str, Any] | None:
    """The last one as `Round.to_json` has it; None where nothing was ever planned.  Raises Unavailable."""
    with reaching(redis):
        found = await redis.get(LAST)
    return None if found is None else dict(json.loads(found))
