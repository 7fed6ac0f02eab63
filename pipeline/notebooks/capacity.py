"""How large a list will be before it is there: recipes, memory, matchers, build time, from a measured index."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

from pipeline.artifact import Memory, Point
from pipeline.clustering.sizes import cell_count
from pipeline.plan import propose
from pipeline.quality.plots import qps
from pipeline.quality.reading import Report
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import alone_ms, cost, memory

HEADROOM = 0.8
"""Share of a machine's memory that its matcher takes, as `matcher.memory_limit_bytes` has it."""

BATCH = 256

BUSY = 0.6
"""Share of its time that a matcher should search at the load asked for; above, waits grow faster than the load."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a matcher runs on."""

    gigabytes: float
    """Memory, in powers of 1,000."""
    cores: int

    @property
    def usable(self) -> float:
        """Bytes for one version of an index, since the next one is loaded beside it."""
        return self.gigabytes * 1e9 * HEADROOM / 2


@dataclass(frozen=True, slots=True)
class Need:
    """What is planned."""

    rows: int
    dim: int
    target: float
    """Most added FNIR."""
    requests_per_s: float
    machine: Machine
    workers: int = 2
    """Cores that build."""
    spare: int = 1
    """Matchers of each shard beyond what the load takes, so that one may fail."""

    def __post_init__(self) -> None:
        """Raise ValueError naming what cannot be."""
        given = {name: getattr(self, name) for name in ("rows", "dim", "target", "requests_per_s", "workers")}
        for name, value in {
            **given,
            "machine's gigabytes": self.machine.gigabytes,
            "its cores": self.machine.cores,
        }.items():
            if value <= 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")


@dataclass(frozen=True, slots=True)
class Option:
    """A recipe for the planned list."""

    name: str
    point: Point
    basis: str
    """What its operating point and its time are taken from."""
    memory: Memory
    """Of the whole list."""
    request_us: float
    """Microseconds of one core per request of a batch, on all shards together."""
    shards: int
    """Parts, so that one fits into a machine twice: the index that serves and the one that replaces it."""
    matchers: int
    """Machines, all shards and spares counted."""
    alone_ms: float
    """Milliseconds that the search of one request alone takes in a shard, as predicted."""

    @property
    def per_core(self) -> float:
        """Requests a second of one core."""
        return 1e6 / self.request_us


def options(need: Need, report: Report) -> list[Option]:
    """Every recipe that the planner would try for such a list, cheapest in machines first."""
    facts = Facts(
        rows=need.rows, dim=need.dim, out=kept(need, report), recipe="auto", rerank=report.data["spec"]["build"]["rerank"],
        device="cpu", memory_limit=0,
    )  # fmt: skip
    found = [_option(need, report, candidate) for candidate in propose(facts)]
    return sorted(found, key=lambda one: (one.matchers, one.request_us))


def kept(need: Need, report: Report) -> int:
    """Dimensions after the projection: the measured index's where it is of the same descriptor, else all of them."""
    same = report.manifest.descriptor.dim == need.dim
    return int(report.manifest.parameters.get("out", need.dim)) if same else need.dim


def _option(need: Need, report: Report, candidate: Candidate) -> Option:
    point, basis = operating_point(need, report, candidate)
    pace, paced = pace_of(report, candidate.name)
    whole = memory(candidate)
    shards = math.ceil(whole.anonymous / need.machine.usable)
    part = replace(candidate, rows=math.ceil(need.rows / shards))
    each_us = cost(part, point) * pace
    matchers = math.ceil(need.requests_per_s * each_us / (need.machine.cores * BUSY * 1e6)) + need.spare
    return Option(
        candidate.name, point, f"{basis}; {paced}", whole, each_us * shards, shards, matchers * shards,
        alone_ms(part, point),
    )  # fmt: skip


def operating_point(need: Need, report: Report, candidate: Candidate) -> tuple[Point, str]:
    """The cheapest point of the candidate that searches as much as the cheapest measured one that meets the target.

    As much: as many candidates re-ranked, as large a share of the cells probed.  Where none was measured to meet it,
    the point that searches most.
    """
    if candidate.recipe == "exact":
        return candidate.points[0], "loses nothing by definition"
    met = [one for one in report.curve if one["name"] == candidate.name and one["added_fnir_bound"] <= need.target]
    most = max(candidate.points, key=lambda point: cost(candidate, point))
    if not met:
        said = "not proven" if any(one["name"] == candidate.name for one in report.curve) else "not measured"
        return most, f"target {said} at {report.manifest.count:,} rows: the point that searches most"
    best = min(met, key=lambda one: float(one["cost_us"]))
    probes = best["nprobe"]
    if "nlist" in candidate.parameters:  # as large a share of the cells that a list of its size has
        probes *= candidate.parameters["nlist"] / cell_count(report.manifest.count)
    enough = [
        point for point in candidate.points
        if point.rerank >= best["rerank"] and point.nprobe >= probes
    ]  # fmt: skip
    chosen = min(enough, key=lambda point: cost(candidate, point), default=most)
    return chosen, f"bound {best['added_fnir_bound']:.2g} measured at {report.manifest.count:,} rows"


def pace_of(report: Report, name: str) -> tuple[float, str]:
    """Measured over predicted microseconds of one core, the median of a candidate's points, with what it is taken from.

    Measured in batches of 256, as a loaded matcher searches.  A candidate that was not measured takes the pace of the
    others of its recipe (`scan-lean` that of `scan`), else that of all.
    """
    threads = report.data["spec"]["build"]["threads_per_task"]
    timed = [one for one in report.curve if "speeds" in one]
    paces = [(one["name"], 1e6 / qps(one, BATCH) * threads / one["cost_us"]) for one in timed]
    mine = [pace for known, pace in paces if known == name]
    alike = [pace for known, pace in paces if recipe_named(known) == recipe_named(name)]
    if mine:
        return median(mine), f"time measured, {median(mine):.2f} of the prediction"
    if paces:
        other = median(alike or [pace for _, pace in paces])
        return other, f"time predicted, scaled by {other:.2f} as {'its like was' if alike else 'other recipes were'}"
    return 1.0, "time predicted"


def recipe_named(candidate: str) -> str:
    """The recipe in a candidate's name: `scan` of `scan-lean`."""
    return candidate.partition("-")[0]
