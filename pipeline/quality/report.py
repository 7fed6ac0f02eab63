"""The report of a build: `report.json`, and `report.html` that needs nothing from elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined, Template

from pipeline.census import rejects
from pipeline.clustering.balance import balances
from pipeline.quality.answers import Answers
from pipeline.quality.cohorts import cohorts
from pipeline.quality.decision import Decision
from pipeline.quality.making import NOISE
from pipeline.quality.measure import SPEED_BATCHES
from pipeline.quality.plots import Plots
from pipeline.quality.probes import GATING
from pipeline.quality.reading import REPORT
from pipeline.quality.scores import Scores, best_mates
from pipeline.quality.tables import det, histograms, thresholds
from pipeline.quality.trial import Trial
from pipeline.sample import candidates
from pipeline.search.people import ROWS_PER_PERSON
from pipeline.workspace import Work

SHOWN_REJECTS = 20
READ_MARKERS = 500
"""Markers of a stage that are read for its time; of a stage with more items as many, evenly spread, and scaled."""


def write_report(work: Work, trial: Trial, decided: Decision, answers: Answers) -> None:
    """Write both files into the work folder; `answers` are those of the decided point."""
    measured, census, spec = measures(trial, answers), work.census(), work.spec
    data: dict[str, Any] = {
        "report": REPORT, "label": spec.label, "index_id": spec.index_id, "created": spec.created,
        "source": spec.source_url, "rows": census["total"], "dim": spec.dim, "rejected": census["rejected"],
        "descriptor_version": spec.descriptor_version, "decision": decided.to_json(), "stages": stage_times(work),
        "spec": json.loads(spec.to_json()), **measured, "group_by": spec.quality.group_by, "cells": balances(work),
        "noise": work.load_json(NOISE) if NOISE in work.keys(NOISE) else None,
    }  # fmt: skip
    work.save_json("report.json", data)
    plots = Plots(
        curve=decided.curve, chosen={"name": decided.name, **asdict(decided.point)}, det=measured["det"],
        histograms=measured["histograms"], threshold=trial.rule.threshold, target=decided.quality["target"],
        fpir=decided.quality["fpir"],
    )  # fmt: skip
    pictures, scripts = plots.html()
    first = list(islice(rejects(work), SHOWN_REJECTS))
    shown = {
        "rejects": first,
        "pictures": pictures,
        "scripts": scripts,
        "sizes": SPEED_BATCHES,
        "rows_per_person": ROWS_PER_PERSON,
        "shards": next(one.shards for one in candidates(work) if one.name == decided.name),
    }
    page = _template().render(**data, **shown, decided=decided, threads=spec.build.threads_per_task)
    work.write("report.html", page.encode())


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("pipeline.quality").joinpath("report.html.j2").read_text(encoding="utf-8"))


def measures(trial: Trial, answers: Answers) -> dict[str, Any]:
    """What operators set thresholds by, of the gating half; see `pipeline.quality.reading.Report`."""
    mated, others = trial.probes.part(mated=True, half=GATING), trial.probes.part(mated=False)
    exact, rule = trial.exact(mated), trial.rule
    scores = Scores(
        best_mates(exact, rule.k), best_mates(answers.mates, rule.k),
        trial.exact(others).lists[0][:, 0], answers.others.lists[0][:, 0], trial.fpir,
    )  # fmt: skip
    return {
        "det": det(scores),
        "histograms": histograms(scores),
        "thresholds": thresholds(scores, rule.confidence),
        "cohorts": cohorts(exact, answers.mates, trial.templates(mated), rule),
        "probes": {
            "mated": trial.probes.origin,
            "non_mates": trial.probes.others,
            "people": len(np.unique(trial.probes.person[mated])),
        },
    }


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
