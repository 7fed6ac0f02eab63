"""What only the leader does, as a table."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from manager.builds.builds import Builds
from manager.parts import Parts
from manager.planner.planner import Planner
from manager.planner.planning import Around
from manager.retention.retention import Retention

Work = Callable[[int], Coroutine[Any, Any, None]]
"""Runs for as long as we lead, under the fence that it is given."""


def work(parts: Parts) -> tuple[Work, ...]:
    """All of it.  Raises ConfigError for plans that cannot be."""
    retention = Retention(parts.settings.manager, parts.store, parts.tasks, parts.matchers)
    builds = Builds(parts.settings, parts.tasks, parts.matchers, parts.origin)
    around = Around(tasks=parts.tasks, redis=parts.redis, store=parts.store, submit=parts.submit, origin=parts.origin)
    planner = Planner(parts.settings, around)
    return (lambda fence: builds.run(fence, parts.lease.remaining), planner.run, retention.run)
