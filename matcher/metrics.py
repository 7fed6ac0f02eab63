"""What Prometheus is told, read from the service at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from matcher.service import Service


class ServiceMetrics(Collector):
    """Nothing is counted twice: the service's own numbers are exported as they are."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        service = self._service
        for name, help_text, value in (
            ("lim_requests_read", "Requests read from streams.", service.handler.read),
            ("lim_requests_answered", "Answers sent, errors included.", service.answerer.answered),
            ("lim_requests_searched", "Requests that were searched.", service.searcher.searched),
            ("lim_requests_taken_over", "Requests taken over from dead matchers.", service.takeover.taken),
            ("lim_search_cpu_seconds", "CPU seconds inside searches.", service.searcher.cpu_seconds),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        errors = CounterMetricFamily("lim_errors", "Error answers by code.", labels=["error_code"])
        for code, count in service.answerer.errors.items():
            errors.add_metric([str(code)], count)
        yield errors
        rows = GaugeMetricFamily(
            "lim_index_rows", "Rows of the index that serves a label.", labels=["label", "index_id"]
        )
        for held in service.residency.current.values():
            rows.add_metric([held.label, held.index_id], held.index.rows)
        yield rows
        backlog = GaugeMetricFamily("lim_backlog", "Requests waiting for a label.", labels=["label"])
        for label, count in service.housekeeping.backlog.items():
            backlog.add_metric([label], count)
        yield backlog
        yield GaugeMetricFamily("lim_memory_bytes", "Predicted bytes of held indexes.", value=service.residency.used())
        yield GaugeMetricFamily(
            "lim_memory_limit_bytes", "Bytes that held indexes may take.", value=service.residency.limit
        )


def registry_of(service: Service) -> CollectorRegistry:
    """A registry of this service's metrics and its process's."""
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(service))
    ProcessCollector(registry=registry)
    return registry
