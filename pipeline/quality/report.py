"""The report of a build: `report.json`, and `report.html` that needs nothing from elsewhere."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment

from pipeline.census import rejects
from pipeline.quality.decision import Decision
from pipeline.quality.figures import Lists, accepted, mates_in, threshold_at
from pipeline.quality.plots import Plots
from pipeline.quality.probes import GATING
from pipeline.quality.trial import Trial
from pipeline.workspace import Work

FPIRS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SHOWN_REJECTS = 20


def write_report(work: Work, trial: Trial, decided: Decision, index: tuple[Lists, Lists]) -> None:
    """Write both files into the work folder; `index` holds its candidates for gating mates and for all non-mates."""
    mates, others = trial.probes.part(mated=True, half=GATING), trial.probes.part(mated=False)
    table = _thresholds(trial, index)
    census = work.census()
    data: dict[str, Any] = {
        "label": work.spec.label, "index_id": work.spec.index_id, "source": work.spec.source_url, "rows": census["total"],
        "dim": work.spec.dim, "rejected": census["rejected"], "descriptor_version": work.spec.descriptor_version,
        "decision": decided.to_json(), "thresholds": table, "spec": json.loads(work.spec.to_json()),
    }  # fmt: skip
    work.save_json("report.json", data)
    same = mates_in(index[0], trial.probes, mates, trial.people)
    plots = Plots(
        curve=decided.curve,
        thresholds=table,
        mates=np.where(same, index[0][0], -1).max(axis=1),
        others=trial.exact(others)[0][:, 0],
        threshold=trial.threshold,
    )
    first = [one for _, one in zip(range(SHOWN_REJECTS), rejects(work), strict=False)]
    template = Environment(autoescape=True).from_string(
        files("pipeline.quality").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    pictures, scripts = plots.html()
    page = template.render(**data, decided=decided, rejects=first, pictures=pictures, scripts=scripts)
    work.write("report.html", page.encode())


def _thresholds(trial: Trial, index: tuple[Lists, Lists]) -> list[dict[str, float]]:
    """For each FPIR the threshold, and what exact search and the index miss there."""
    mates, others = trial.probes.part(mated=True, half=GATING), trial.probes.part(mated=False)
    exact, impostors = trial.exact(mates), trial.exact(others)[0][:, 0]
    sides = [(lists, mates_in(lists, trial.probes, mates, trial.people)) for lists in (exact, index[0])]
    table = []
    for fpir in FPIRS:
        if fpir * len(impostors) < 1:
            continue  # fewer non-mates than one false alarm: nothing can be said
        threshold = threshold_at(impostors, fpir)
        exact_hits, hits = (accepted(lists, same, threshold) for lists, same in sides)
        table.append({
            "fpir": fpir,
            "threshold": threshold,
            "exact_fnir": float(1 - exact_hits.mean()),
            "fnir": float(1 - hits.mean()),
            "added_fnir": float((exact_hits & ~hits).mean()),
        })  # fmt: skip
    return table
