"""What Prometheus is told of an indexer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from pipeline.indexer.service import Service


class ServiceMetrics(Collector):
    """The service's own numbers, read at each scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        service = self._service
        builds = CounterMetricFamily(
            "lim_indexer_builds", "Ordered builds by the code they ended with; 0 = published.", labels=["error_code"]
        )
        for code, count in sorted(service.ended.items()):
            builds.add_metric([str(code)], count)
        yield builds
        building = service.building
        yield GaugeMetricFamily("lim_indexer_building", "1 while an ordered build runs.", value=building is not None)
        yield GaugeMetricFamily(
            "lim_indexer_build_peak_bytes",
            "Most resident bytes of the running build.",
            value=building.peak if building else 0,
        )
        member = service.member
        if member is None:
            return
        yield GaugeMetricFamily(
            "lim_indexer_in_cluster", "1 while its worker is in the cluster.", value=bool(member.address)
        )
        yield GaugeMetricFamily("lim_indexer_slots", "Items it does at a time.", value=member.offer.slots)
        for name, text, value in (
            ("worker_restarts", "Worker processes started in the place of dead ones.", member.restarts),
            ("rejoins", "Attempts to join the cluster again.", member.rejoins),
        ):
            yield CounterMetricFamily(f"lim_indexer_{name}", text, value=value)


def registry_of(service: Service) -> CollectorRegistry:
    """A registry of this service's metrics, with its process's."""
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(service))
    ProcessCollector(registry=registry)
    return registry
