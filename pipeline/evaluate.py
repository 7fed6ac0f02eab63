"""Stages probes, truth, measure and evaluate: what the candidates lose, and which of them may be published."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline.artifact import Point
from pipeline.assemble import built_ahead, open_candidate
from pipeline.device.choose import device
from pipeline.errors import IndexRefused
from pipeline.quality.decision import Decision
from pipeline.quality.figures import Figures, Lists
from pipeline.quality.gate import Gated, Measured, choose, refusal
from pipeline.quality.making import gallery_people, make
from pipeline.quality.measure import run
from pipeline.quality.probes import CHOOSING, GATING, ProbeSet, needed
from pipeline.quality.report import write_report
from pipeline.quality.trial import Trial
from pipeline.quality.truth import depth_for
from pipeline.sample import candidates
from pipeline.stage import Item
from pipeline.workspace import Work

BLOCK = 8192
"""Probes compared with a partition at a time: bounds the product at 8,192 x 25,000 floats inside the library."""


def probes(work: Work, _: None) -> int:
    """Write `probes.npz`."""
    made = make(work)
    work.write("probes.npz", made.to_bytes())
    return len(made.mated)


def truth(work: Work, number: int) -> int:
    """Exact search of all probes over one partition."""
    found = ProbeSet.from_bytes(work.read("probes.npz"))
    depth = depth_for(found, gallery_people(work), work.spec.quality.k)
    rows, worker = work.rows(number).astype(np.float32), device(work.spec.device)
    blocks = [
        worker.knn(found.queries[start : start + BLOCK], rows, depth) for start in range(0, len(found.mated), BLOCK)
    ]
    buffer = io.BytesIO()
    np.savez(
        buffer, similarities=np.concatenate([one[0] for one in blocks]),
        numbers=np.concatenate([one[1] for one in blocks]) + work.first(number),
    )  # fmt: skip
    work.write(f"truth/{number:05d}.npz", buffer.getbuffer())
    return len(rows)


def measured(work: Work) -> Iterable[Item]:
    """One item per candidate that is assembled."""
    for candidate in candidates(work):
        if built_ahead(work, candidate):
            yield Item(candidate.name, candidate.name)


def measure(work: Work, name: str) -> int:
    """Figures of every operating point of a candidate on the choosing half, with times beside them."""
    trial = Trial(work)
    candidate = next(one for one in candidates(work) if one.name == name)
    part = trial.probes.part(mated=True, half=CHOOSING)
    queries = np.ascontiguousarray(trial.probes.queries[part])
    curve: list[dict[str, Any]] = []
    with open_candidate(work, name) as index:
        for point in candidate.points:
            # mated probes drop nothing but their own row
            done = run(index, queries, trial.quality.k + 1, point)
            figures = trial.figures(part, trial.index((done.similarities, done.numbers), part))
            times = {"batch_us": done.batch_us, "p50_ms": done.p50_ms, "p99_ms": done.p99_ms}
            curve.append(
                {"name": name, **asdict(point), "cost_us": candidate.cost(point), **figures.to_json(), **times}
            )
    work.save_json(f"measured/{name}.json", curve)
    return len(part) * len(candidate.points)


def evaluate(work: Work, _: None) -> int:
    """Decide once, write the report; raises IndexRefused when nothing meets the target and `force` is not set."""
    trial = Trial(work)
    curve = [point for key in work.keys("measured/") for point in work.load_json(key)]
    names = {point["name"] for point in curve}
    choosing = trial.probes.part(mated=True, half=CHOOSING)
    for candidate in candidates(work):
        if candidate.name not in names:  # exact search of a long list: known without measuring
            point = candidate.points[0]
            known = {"name": candidate.name, **asdict(point), "cost_us": candidate.cost(point)}
            curve.append({**known, **trial.figures(choosing).to_json()})
    points = [_measured(one) for one in curve]
    answers: dict[str, tuple[Lists, Lists]] = {}

    def gate(point: Measured) -> Figures:
        answers[point.where] = _answers(work, trial, point)
        return trial.figures(trial.probes.part(mated=True, half=GATING), answers[point.where][0])

    gated = choose(points, trial.quality.added_fnir, trial.quality.confidence, gate)
    decided = Decision.from_json(
        work.create_json("decision.json", _decision(work, trial, gated, curve, answers).to_json())
    )
    write_report(work, trial, decided, answers.get(gated.point.where) or _answers(work, trial, gated.point))
    if not decided.passed and decided.resolvable and not work.spec.build.force:
        raise IndexRefused(f"{work.spec.label}: {decided.reason}; the report is at {work.prefix}report.html")
    return len(points)


def decision(work: Work) -> Decision:
    """What was decided."""
    return Decision.from_json(work.load_json("decision.json"))


def _measured(one: dict[str, Any]) -> Measured:
    figures = Figures(**{name: one[name] for name in Figures.__dataclass_fields__})
    return Measured(one["name"], one["nprobe"], one["rerank"], one["cost_us"], figures)


def _answers(work: Work, trial: Trial, point: Measured) -> tuple[Lists, Lists]:
    """Candidate lists of the gating half's mated probes, and of all non-mated ones."""
    mates, others = trial.probes.part(mated=True, half=GATING), trial.probes.part(mated=False)
    if point.name == "exact":
        return trial.exact(mates), trial.exact(others)
    with open_candidate(work, point.name) as index:
        found = []
        for part in (mates, others):
            queries = np.ascontiguousarray(trial.probes.queries[part])
            done = run(index, queries, trial.depth, Point(point.nprobe, max(point.rerank, trial.depth)))
            found.append(trial.index((done.similarities, done.numbers), part))
    return found[0], found[1]


def _decision(
    work: Work, trial: Trial, gated: Gated, curve: list[dict[str, Any]], answers: dict[str, tuple[Lists, Lists]]
) -> Decision:
    quality, point, figures = trial.quality, gated.point, gated.figures
    others = answers[point.where][1] if point.where in answers else _answers(work, trial, point)[1]
    resolvable = point.name == "exact" or figures.probes >= needed(quality.added_fnir, quality.confidence)
    if gated.passed:
        reason = f"{point.where}: added FNIR {figures.added_fnir:.4g}, bound {figures.added_fnir_bound:.4g}, target {quality.added_fnir:g}"
    elif not resolvable:
        reason = f"not resolvable: {figures.probes} mated probes cannot prove an added FNIR of {quality.added_fnir:g}; {figures.lost} were lost"
    else:
        reason = refusal(gated, quality.added_fnir)
    for one in curve:
        one["rejected"] = gated.rejected.get(_measured(one).where, "")
    measured_quality = figures.to_json() | {
        "k": quality.k, "fpir": quality.fpir, "target": quality.added_fnir, "threshold": trial.threshold,
        "index_fpir": float((others[0][:, 0] >= trial.threshold).mean()), "resolvable": resolvable,
        "non_mates": len(others[0]), "probes_from": trial.probes.origin, "verdict": reason,
    }  # fmt: skip
    recipe = next(one.recipe for one in candidates(work) if one.name == point.name)
    return Decision(
        name=point.name, recipe=recipe, point=Point(point.nprobe, point.rerank), passed=gated.passed,
        forced=False, resolvable=resolvable, reason=reason, quality=measured_quality, curve=curve,
    )  # fmt: skip
