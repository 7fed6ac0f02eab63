"""What Prometheus is told, read from the service at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from matcher.drawing import unwatched
from matcher.held import Held
from matcher.whereabouts import whereabouts

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
            ("lim_requests_passed_on", "The original's requests passed on to all shards.", service.relay.passed_on),
            ("lim_requests_taken_over", "Requests taken over from dead matchers.", service.takeover.taken),
            ("lim_search_cpu_seconds", "CPU seconds inside searches.", service.searcher.cpu_seconds),
            ("lim_live_cpu_seconds", "CPU seconds of comparing with exact search.", service.comparer.cpu_seconds),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        errors = CounterMetricFamily("lim_errors", "Error answers by code.", labels=["error_code"])
        for code, count in service.answerer.errors.items():
            errors.add_metric([str(code)], count)
        yield errors
        rows = GaugeMetricFamily(
            "lim_index_rows", "Rows of a shard held of the index that serves a label.", labels=NAMES
        )
        for held in service.residency.current():
            rows.add_metric(_of(held), held.index.rows)
        yield rows
        yield from _shards(service)
        backlog = GaugeMetricFamily("lim_backlog", "Requests waiting for a label.", labels=["label"])
        for label, count in service.housekeeping.backlog.items():
            backlog.add_metric([label], count)
        yield backlog
        yield from _live(service)
        yield GaugeMetricFamily("lim_memory_bytes", "Predicted bytes of held indexes.", value=service.residency.used())
        yield GaugeMetricFamily(
            "lim_memory_limit_bytes", "Bytes that held indexes may take.", value=service.residency.limit
        )


NAMES = ("label", "index_id", "shard")


def _of(held: Held) -> list[str]:
    return [held.label, held.index_id, str(held.shard)]


def _shards(service: Service) -> Iterator[Metric]:
    """Where the shards are of indexes that have several."""
    gauges = {
        place: GaugeMetricFamily(f"lim_shards_{place}", text, labels=["label", "index_id"])
        for place, text in (
            ("all", "Shards of an index that has several."), ("held", "Shards of it that this matcher holds."),
            ("missing", "Shards of it that no matcher holds."),
        )
    }  # fmt: skip
    for one in whereabouts(service.watch.sharing, service.residency):
        of = [one["label"], one["index_id"]]
        for place, value in (("all", one["shards"]), ("held", len(one["held"])), ("missing", len(one["missing"]))):
            gauges[place].add_metric(of, value)
    yield from gauges.values()


LIVE = (
    ("recall", "Mean share of the ten exact nearest rows in answers.", lambda live: live.recall),
    ("recall_bound", "Upper bound of that recall, one-sided, 99.9 %.", lambda live: live.bound),
    ("recall_expected", "The recall@10 that the build measured.", lambda live: live.expected),
    ("first_exact_share", "Share of answers whose first is the exact nearest row.", lambda live: live.first),
    ("window_requests", "Compared requests that the figures are of.", lambda live: len(live.recalls)),
    ("drift_alarm", "1 when the recall surely lies below the measured one by more than the margin.", lambda live: live.alarm),
)  # fmt: skip


def _live(service: Service) -> Iterator[Metric]:
    """Live recall of the indexes that serve; of those never compared only that they are, or are not, watched."""
    serving = service.residency.current()
    watched = GaugeMetricFamily(
        "lim_live_watched", "1 when live answers are compared, 0 for exact search or a share of 0.", labels=NAMES
    )
    compared = CounterMetricFamily("lim_live_compared", "Live requests compared with exact search.", labels=NAMES)
    waiting = GaugeMetricFamily("lim_live_waiting", "Drawn requests that wait to be compared.", labels=NAMES)
    gauges = [(GaugeMetricFamily(f"lim_live_{name}", text, labels=NAMES), value) for name, text, value in LIVE]
    for held in serving:
        of = _of(held)
        watched.add_metric(of, not unwatched(held, service.drawer.share))
        if held.comparable:
            compared.add_metric(of, held.live.compared)
            waiting.add_metric(of, len(held.live.waiting))
        for gauge, value in gauges if held.live.compared else ():
            if value(held.live) is not None:
                gauge.add_metric(of, value(held.live))
    yield from (watched, compared, waiting, *(gauge for gauge, _ in gauges))


def registry_of(service: Service) -> CollectorRegistry:
    """A registry of this service's metrics and its process's."""
    registry = CollectorRegistry()
    registry.register(ServiceMetrics(service))
    ProcessCollector(registry=registry)
    return registry
