"""Stage measure: the figures of each candidate's operating points on the choosing half, with times beside them.

An index of several shards is measured a shard at a time, as several matchers search it: each shard with the point's
probes and its full depth of re-ranking.  What they find is merged and judged when the last one is done; times are
sums over the shards.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.artifact import Point
from pipeline.assemble import built_ahead, candidate_named
from pipeline.candidates import Placed, open_candidate
from pipeline.errors import BuildError
from pipeline.quality.arrays import Lists
from pipeline.quality.figures import Figures
from pipeline.quality.gate import Target
from pipeline.quality.measure import Speed, Times, together
from pipeline.quality.measure import measure as run
from pipeline.quality.trial import Trial
from pipeline.recipes.candidate import Candidate
from pipeline.recipes.known import alone_ms, cost
from pipeline.sample import candidates
from pipeline.stage import Item
from pipeline.workspace import Work

ENOUGH = 4
"""Points of a candidate that meet the target on the choosing half; dearer ones are not measured, nor judged."""


def measured(work: Work) -> Iterable[Item]:
    """One item per candidate that is assembled; of several shards one each, and a last one to judge them together."""
    for candidate in candidates(work):
        if not built_ahead(work, candidate):
            continue
        if candidate.shards > 1:
            for shard in range(candidate.shards):
                yield Item(f"{candidate.name}-{shard:04d}", (candidate.name, shard))
        yield Item(candidate.name, (candidate.name, None), wave=int(candidate.shards > 1))


def measure(work: Work, value: tuple[str, int | None]) -> int:
    """Measure a candidate, from its cheapest point on; or all points of one of its shards.

    A few points beyond the first that meets the target are left for the gate and for the picture.
    """
    name, shard = value
    trial, candidate = Trial(work), candidate_named(work, name)
    part, points = trial.choosing(), sorted(candidate.points, key=lambda one: cost(candidate, one))
    if shard is not None:
        return _shard(work, trial, candidate, shard)
    curve: list[dict[str, Any]] = []
    good, target = 0, target_of(work)
    with _searching(work, trial, candidate) as search:
        for point in points:
            found, times = search(point)
            figures = trial.figures(part, trial.side(found, part))
            curve.append(entry(candidate, point, figures) | asdict(times))
            good += target.met(figures)
            if good >= ENOUGH:
                break
    work.save_json(f"measured/{name}.json", curve)
    return len(part) * len(curve)


Search = Callable[[Point], tuple[Lists, Times]]


@contextmanager
def _searching(work: Work, trial: Trial, candidate: Candidate) -> Iterator[Search]:
    """What an index answers to the choosing half: searched where it is one shard, else read from what its shards left."""
    if candidate.shards > 1:
        yield lambda point: _read(work, trial, candidate, point)
        return
    with open_candidate(work, candidate) as index:
        yield lambda point: _asked(trial, index, point)


def _asked(trial: Trial, index: Placed, point: Point) -> tuple[Lists, Times]:
    part = trial.choosing()
    found, times = run(index, np.ascontiguousarray(trial.probes.queries[part]), trial.depth(part), point)
    return trial.found(index, found, part, point), times


def _shard(work: Work, trial: Trial, candidate: Candidate, shard: int) -> int:
    """Leave what one shard answers at every point."""
    with open_candidate(work, candidate, shard) as index:
        for point in candidate.points:
            (similarities, numbers), times = _asked(trial, index, point)
            buffer = io.BytesIO()
            np.savez(buffer, similarities=similarities, numbers=numbers)
            work.write(_key(candidate, point, shard) + ".npz", buffer.getbuffer())
            work.save_json(_key(candidate, point, shard) + ".json", asdict(times))
    return len(trial.choosing()) * len(candidate.points)


def _read(work: Work, trial: Trial, candidate: Candidate, point: Point) -> tuple[Lists, Times]:
    """What all shards answer at a point."""
    total: Lists | None = None
    times = []
    for shard in range(candidate.shards):
        key = _key(candidate, point, shard)
        with np.load(io.BytesIO(work.read(key + ".npz"))) as arrays:
            total = trial.joined(total, (arrays["similarities"], arrays["numbers"]))
        fields = work.load_json(key + ".json")
        times.append(Times(fields["batch_us"], tuple(Speed(**one) for one in fields["speeds"])))
    if total is None:
        raise BuildError(f"{candidate.name}: expected at least one shard, got {candidate.shards}")
    return total, together(times)


def _key(candidate: Candidate, point: Point, shard: int) -> str:
    return f"lists/{candidate.name}/{point.nprobe}-{point.rerank}/{shard:04d}"


def target_of(work: Work) -> Target:
    """What the build's settings ask for."""
    quality = work.spec.quality
    return Target(quality.added_fnir, quality.confidence, quality.recall)


def entry(candidate: Candidate, point: Point, figures: Figures) -> dict[str, Any]:
    """A point of the curve."""
    return {
        "name": candidate.name,
        **asdict(point),
        "cost_us": cost(candidate, point),
        "alone_ms": alone_ms(candidate, point),
        **figures.to_json(),
    }
