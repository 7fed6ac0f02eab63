"""`lim bench live`: what comparing live requests with exact search costs those that are answered meanwhile."""

from __future__ import annotations

import re
import statistics
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from configs.cli import Context
from configs.load import Loaded
from configs.settings import Matcher
from manager.bench.showing import Line, bench_stack, shown
from manager.demo import steps
from manager.demo.commands import command
from manager.demo.plan import LABEL, Wishes
from manager.embedded.processes import Child, StackError, free_port
from manager.embedded.python import healthy, lim
from manager.embedded.stack import Stack
from pipeline.artifact import index_prefix, open_store, publish, read_manifest

WATCHED = "watched"
"""The label of the matcher that compares."""

CAUGHT_UP_S = 60.0


@click.command()
@click.option("--rows", default=50_000, show_default=True, type=click.IntRange(1), help="Descriptors of the index.")
@click.option("--rate", default=500.0, show_default=True, help="Requests a second.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help="Pairs of rounds.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of a round.")
@click.option(
    "--share", default=Matcher().live_share, show_default=True, help="Share of the requests that is compared."
)
@click.option("--per-minute", default=Matcher().live_per_minute, show_default=True, help="Most of them a minute.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.pass_obj
def live(context: Context, /, rows: int, json_file: Path | None, **how: Any) -> None:
    """Latency without, then with, live requests being compared with exact search, in turns.

    By default as many are compared as matchers do by default; --share 1 --per-minute 1000000 takes all idle time.
    """
    compared = {"live_share": how.pop("share"), "live_per_minute": how.pop("per_minute")}
    wishes = Wishes(rows=rows, probes=2_000, recipe="scan", settings=context.settings)
    with bench_stack(_unwatched(context.loaded)) as stack:
        faces = steps.faces(stack, wishes)
        index_id = steps.build(stack, wishes, faces)["index_id"]
        steps.wait_served(stack, index_id)
        with _watched(stack, index_id, compared) as watcher:
            found = {"rows": rows, "rate": how["rate"]} | compared | side_by_side(stack, watcher, faces, Plan(**how))
    shown(found, lines(found), f"lim bench live, {rows:,} rows, {how['rate']:,.0f} requests a second", json_file)


def _unwatched(loaded: Loaded) -> Loaded:
    """Settings in force, but that the stack's matcher serves its own label and compares nothing."""
    matcher = replace(loaded.settings.matcher, labels=LABEL, live_share=0.0)
    sources = loaded.sources | {"matcher.labels": "bench", "matcher.live_share": "bench"}
    return replace(loaded, settings=replace(loaded.settings, matcher=matcher), sources=sources)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A second matcher, over the same index under another label."""

    child: Child
    port: int

    def metric(self, name: str) -> float:
        """One of its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as reply:
            text = reply.read().decode()
        (value,) = re.findall(rf"^lim_live_{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return float(value)

    def catch_up(self) -> None:
        """Until nothing waits to be compared, so that it leaves the machine to the other."""
        until = time.monotonic() + CAUGHT_UP_S
        while self.metric("waiting"):
            self.child.check()
            if time.monotonic() > until:
                raise StackError(
                    f"matcher: expected to have compared everything within {CAUGHT_UP_S:.0f} s, has not: is it idle?"
                )
            time.sleep(0.1)


@contextmanager
def _watched(stack: Stack, index_id: str, compared: dict[str, float]) -> Iterator[Watcher]:
    """Publishes the index again under another label; a matcher serves it that compares requests."""
    store = open_store(stack.storage.bucket, stack.storage)
    manifest = replace(read_manifest(store, LABEL, index_id), label=WATCHED, index_id=str(uuid.uuid4()))
    for file in (file for shard in manifest.shards for file in shard.files):
        home = index_prefix(WATCHED, manifest.index_id)
        store.write(home + file.key, store.read(index_prefix(LABEL, index_id) + file.key))
    publish(store, manifest)
    port = free_port()
    settings = {"labels": WATCHED, **compared}
    words = [word for name, value in settings.items() for word in ("--set", f"matcher.{name}={value}")]
    command_line = lim(*words, "matcher", "--port", str(port))
    child = Child("watcher", command_line, stack.logs / "watcher.log", stack.environ, without=("LIM_",)).start()
    try:
        child.wait_ready(lambda: healthy(port), 60.0)
        yield Watcher(child, port)
    finally:
        child.stop()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked."""

    rate: float
    """Requests a second."""
    repeats: int
    """Pairs of rounds."""
    seconds: float
    """Length of a round."""


def side_by_side(stack: Stack, watcher: Watcher, faces: steps.Faces, plan: Plan) -> dict[str, Any]:
    """Pairs of rounds, the order turned each time; medians over the rounds, with their ratios.

    A p99 of some thousand requests is of a few slow ones, so its rounds differ by more than what is looked for:
    the ratio is of the medians, and their range is shown beside it.
    """

    def asked(label: str) -> dict[str, Any]:
        words = ("--label", label, "--probes", str(faces.stream), "--rate", str(plan.rate))
        return command(stack, "load", *words, "--requests", str(int(plan.rate * plan.seconds)))

    for label in (LABEL, WATCHED):
        asked(label)  # pages are mapped and costs learned before it counts
    rounds: dict[str, list[dict[str, Any]]] = {LABEL: [], WATCHED: []}
    before = watcher.metric("compared_total"), watcher.metric("cpu_seconds_total")
    for number in range(plan.repeats):
        for label in (LABEL, WATCHED) if number % 2 else (WATCHED, LABEL):
            watcher.catch_up()
            rounds[label].append(asked(label))
    watcher.catch_up()
    found: dict[str, Any] = {
        "compared": watcher.metric("compared_total") - before[0], "compare_cpu_s": watcher.metric("cpu_seconds_total") - before[1],
        "errors": sum(sum(one["errors"].values()) for some in rounds.values() for one in some),
    }  # fmt: skip
    found["recall"] = watcher.metric("recall") if found["compared"] else None
    for point in ("p50_ms", "p99_ms"):
        without, beside = ([one[point] for one in rounds[label]] for label in (LABEL, WATCHED))
        for name, values in (("without", without), ("with", beside)):
            found |= {f"{name}_{point}": statistics.median(values), f"{name}_{point}_range": [min(values), max(values)]}
        found[f"{point[:3]}_ratio"] = found[f"with_{point}"] / found[f"without_{point}"]
    return found


def lines(found: dict[str, Any]) -> Iterator[Line]:
    """What is printed."""
    some = f"{found['live_share']:.4g} of them, at most {found['live_per_minute']:,.0f} a minute, are compared"
    for name, key in (("nothing is compared", "without"), (some, "with")):
        least, most = found[f"{key}_p99_ms_range"]
        p50, p99 = found[f"{key}_p50_ms"], found[f"{key}_p99_ms"]
        yield name, f"p50 {p50:.2f} ms, p99 {p99:.2f} ms ({least:.1f} to {most:.1f})", "", None
    yield "  ratio of p99", f"{found['p99_ratio']:.2f}", "1.15 or less", found["p99_ratio"] <= 1.15
    yield "  ratio of p50", f"{found['p50_ratio']:.2f}", "", None
    spent = f"{found['compared']:,.0f}, {found['compare_cpu_s']:.1f} s of CPU"
    yield "  requests compared meanwhile", spent, "some", found["compared"] > 0
    if found["recall"] is not None:
        yield "  their recall@10", f"{found['recall']:.4f}", "", None
    yield "errors", str(found["errors"]), "none", not found["errors"]
