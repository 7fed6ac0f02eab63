"""Stages probes, truth, evaluate: whom to look for, what may be found, which candidate may be published."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.artifact import Point
from pipeline.assemble import candidate_named
from pipeline.errors import IndexRefused
from pipeline.measuring import entry, target_of
from pipeline.quality.answers import Gate
from pipeline.quality.decision import Decision
from pipeline.quality.figures import Figures, intervals
from pipeline.quality.gate import Gated, Measured, choose
from pipeline.quality.making import make
from pipeline.quality.report import write_report
from pipeline.quality.trial import Trial, partition_truth
from pipeline.quality.verdict import verdict
from pipeline.recipes import costs
from pipeline.sample import candidates
from pipeline.workspace import Work


def probes(work: Work, _: None) -> int:
    """Write `probes.npz`."""
    made = make(work)
    made.save(work)
    return len(made.own)


def truth(work: Work, number: int) -> int:
    """Exact search of all probes over one partition."""
    similarities, numbers = partition_truth(work, number)
    buffer = io.BytesIO()
    np.savez(buffer, similarities=similarities, numbers=numbers)
    work.write(f"truth/{number:05d}.npz", buffer.getbuffer())
    return int(work.census()["kept"][number])


def evaluate(work: Work, _: None) -> int:
    """Decide once, write the report; raises IndexRefused when nothing meets the target and `force` is not set."""
    trial, curve = Trial(work), [one for key in work.keys("measured/") for one in work.load_json(key)]
    curve += _unmeasured(work, trial, {one["name"] for one in curve})
    gate, target = Gate(work, trial), target_of(work)
    gated = choose([_measured(work, one) for one in curve], target, gate)
    fresh = _decision(work, gate, gated, curve)
    decided = Decision.from_json(work.create_json("decision.json", fresh.to_json()))
    decided = replace(decided, forced=decided.refused and work.spec.build.force)
    write_report(work, trial, decided, gate.answers(gated.point))
    if decided.refused and not decided.forced:
        raise IndexRefused(f"{work.spec.label}: {decided.reason}; the report is at {work.prefix}report.html")
    return len(curve)


def decision(work: Work) -> Decision:
    """What was decided."""
    return Decision.from_json(work.load_json("decision.json"))


def _unmeasured(work: Work, trial: Trial, measured_names: set[str]) -> list[dict[str, Any]]:
    """Points that are known without measuring: exact search of a long list, which is not assembled before it is chosen."""
    part = trial.choosing()
    figures = trial.figures(part, trial.exact(part))
    rest = [one for one in candidates(work) if one.name not in measured_names]
    return [entry(candidate, point, figures) for candidate in rest for point in candidate.points]


def _measured(work: Work, one: dict[str, Any]) -> Measured:
    figures = Figures(**{name: one[name] for name in Figures.__dataclass_fields__})
    recipe = candidate_named(work, one["name"]).recipe
    return Measured(one["name"], recipe, one["nprobe"], one["rerank"], one["cost_us"], figures)


def _decision(work: Work, gate: Gate, gated: Gated, curve: list[dict[str, Any]]) -> Decision:
    quality, point, trial, answers = work.spec.quality, gated.point, gate.trial, gate.answers(gated.point)
    target, exact_cost = target_of(work), costs.exact(work.total(), work.spec.dim)
    reason = verdict(gated, target, exact_cost, answers.misnamed)
    for one in curve:
        one["rejected"] = gated.rejected.get(_measured(work, one).where, "")
    threshold = trial.rule.threshold
    between = intervals(trial.exact(gate.parts[0]), answers.mates, trial.rule)
    between["index_fpir"] = answers.fpir_interval(threshold, quality.confidence)
    return Decision(
        name=point.name, recipe=point.recipe, point=Point(point.nprobe, point.rerank), passed=gated.passed, forced=False,
        resolvable=gated.resolvable, reason=reason, curve=curve,
        intervals={name: list(both) for name, both in between.items()},
        quality=gated.figures.to_json() | {
            "k": quality.k, "group_by": quality.group_by, "fpir": quality.fpir, "target": quality.added_fnir,
            "wanted_recall": quality.recall, "confidence": quality.confidence,
            "threshold": threshold, "index_fpir": answers.fpir(threshold), "non_mates": len(gate.parts[1]),
            "resolvable": gated.figures.probes >= target.needed, "probes_needed": target.needed,
            "probes_from": trial.probes.origin, "non_mates_from": trial.probes.others, "verdict": reason,
        },
    )  # fmt: skip
