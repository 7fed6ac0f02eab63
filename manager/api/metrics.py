"""What Prometheus is told of a manager."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from manager.api.feed import Feed
from manager.errors import Unavailable
from manager.parts import Parts


class ManagerMetrics(Collector):
    """The manager's own numbers, read at each scrape; those of Redis are asked for before, by `look`."""

    def __init__(self, parts: Parts, feed: Feed) -> None:
        self._parts, self._feed = parts, feed
        self._counts: Mapping[str, int] | None = None

    async def look(self) -> None:
        """Ask Redis how many tasks there are; where it does not answer their numbers are left out."""
        try:
            self._counts = await self._parts.tasks.counts()
        except Unavailable:
            self._counts = None

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        lease, shelf = self._parts.lease, self._parts.shelf
        if self._counts is not None:
            tasks = GaugeMetricFamily("lim_manager_tasks", "Tasks that are remembered, by state.", labels=["status"])
            for status, count in self._counts.items():
                tasks.add_metric([status], count)
            yield tasks
        looked = time.time() - shelf.looked if shelf.looked else float("nan")
        for name, text, value in (
            ("redis_up", "1 while the Redis of tasks answers.", self._counts is not None),
            ("leads", "1 while this manager leads.", lease.leads()),
            ("fence", "Fencing token of this manager while it leads.", lease.fence),
            ("labels", "Labels in the bucket.", shelf.count()),
            ("bucket_age_seconds", "Seconds since the last look at the bucket that succeeded.", looked),
            ("event_clients", "Clients that follow events.", len(self._feed)),
        ):
            yield GaugeMetricFamily(f"lim_manager_{name}", text, value=value)


def registry_of(metrics: ManagerMetrics) -> CollectorRegistry:
    """A registry of these metrics, with the process's."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    return registry
