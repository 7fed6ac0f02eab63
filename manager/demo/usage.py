"""CPU that processes spend between two looks."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from manager.embedded.stack import Stack


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far."""

    redis: float
    matcher: float
    search: float
    """The part of the matcher's inside searches."""

    def since(self, before: Usage) -> Usage:
        """What was spent since then."""
        return Usage(self.redis - before.redis, self.matcher - before.matcher, self.search - before.search)


def usage(stack: Stack) -> Usage:
    """Now."""
    spent = {name: sum(psutil.Process(stack.children[name].pid).cpu_times()[:2]) for name in ("valkey", "matcher")}
    lines = stack.page("/metrics").splitlines()
    search = next(float(line.split()[1]) for line in lines if line.startswith("lim_search_cpu_seconds_total "))
    return Usage(spent["valkey"], spent["matcher"], search)
