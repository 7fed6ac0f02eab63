"""The report of a build: `report.json`, and `report.html` that needs nothing from elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from itertools import islice
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from pipeline.census import rejects
from pipeline.quality.answers import Answers
from pipeline.quality.decision import Decision
from pipeline.quality.figures import found_mates, threshold_at
from pipeline.quality.plots import Histogram, Plots
from pipeline.quality.probes import GATING
from pipeline.quality.trial import Trial
from pipeline.workspace import Work

FPIRS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SHOWN_REJECTS = 20
READ_MARKERS = 500
"""Markers of a stage that are read for its time; of a stage with more items as many, evenly spread, and scaled."""


def write_report(work: Work, trial: Trial, decided: Decision, answers: Answers) -> None:
    """Write both files into the work folder; `answers` are those of the decided point."""
    table, histogram = thresholds(trial, answers), histogram_of(trial, answers)
    spec, census = work.spec, work.census()
    data: dict[str, Any] = {
        "label": spec.label, "index_id": spec.index_id, "created": spec.created, "source": spec.source_url,
        "rows": census["total"], "dim": spec.dim, "rejected": census["rejected"],
        "descriptor_version": spec.descriptor_version, "decision": decided.to_json(), "thresholds": table,
        "histogram": asdict(histogram), "stages": stage_times(work), "spec": json.loads(spec.to_json()),
    }  # fmt: skip
    work.save_json("report.json", data)
    plots = Plots(
        curve=decided.curve, chosen={"name": decided.name, **asdict(decided.point)}, thresholds=table, histogram=histogram,
        threshold=trial.rule.threshold, target=decided.quality["target"], fpir=decided.quality["fpir"],
    )  # fmt: skip
    pictures, scripts = plots.html()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("pipeline.quality").joinpath("report.html.j2").read_text(encoding="utf-8"))
    first = list(islice(rejects(work), SHOWN_REJECTS))
    page = template.render(**data, decided=decided, rejects=first, pictures=pictures, scripts=scripts)
    work.write("report.html", page.encode())


def thresholds(trial: Trial, answers: Answers) -> list[dict[str, float]]:
    """For each FPIR the threshold, what exact search and the index miss there, and the index's own FPIR."""
    exact = trial.exact(trial.probes.part(mated=True, half=GATING))
    impostors = trial.exact(trial.probes.part(mated=False)).lists[0][:, 0]
    table = []
    for fpir in FPIRS:
        if fpir * len(impostors) < 1:
            continue  # fewer non-mates than one false alarm: nothing can be said
        threshold = threshold_at(impostors, fpir)
        ours, theirs = (side.accepted(threshold, trial.rule.k) for side in (exact, answers.mates))
        table.append({
            "fpir": fpir,
            "threshold": threshold,
            "exact_fnir": float((~ours).mean()),
            "fnir": float((~theirs).mean()),
            "added_fnir": float((ours & ~theirs).mean()),
            "index_fpir": answers.fpir(threshold),
        })  # fmt: skip
    return table


def histogram_of(trial: Trial, answers: Answers) -> Histogram:
    """Similarities of the index's best mate and of exact search's best impostor, in 60 bins."""
    impostors = trial.exact(trial.probes.part(mated=False)).lists[0][:, 0]
    mates = found_mates(answers.mates)
    least = min(0.0, *(float(np.floor(values.min() * 10) / 10) for values in (mates, impostors) if len(values)))
    edges = np.linspace(least, 1, 61)
    shares = [
        np.histogram(np.minimum(values, 1), edges)[0] / max(count, 1)
        for values, count in ((mates, len(answers.mates.mates)), (impostors, len(impostors)))
    ]
    return Histogram(edges.tolist(), shares[0].tolist(), shares[1].tolist())


def stage_times(work: Work) -> dict[str, dict[str, float]]:
    """Seconds of tasks, items and rows of every stage before this one, from the markers."""
    stages: dict[str, list[str]] = {}
    for key in work.keys("done/"):
        stages.setdefault(key.split("/")[1], []).append(key)
    times = {}
    for stage, keys in stages.items():
        read = [work.load_json(key) for key in keys[:: -(-len(keys) // READ_MARKERS)]]
        scale = len(keys) / len(read)
        seconds, rows = (scale * sum(one[name] for one in read) for name in ("seconds", "rows"))
        times[stage] = {"task_seconds": seconds, "items": len(keys), "rows": round(rows)}
    return times
