"""The task that a build was, from the spec that it left."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from configs.settings import Settings
from manager.tasks.task import Task, content_of
from pipeline.spec import BuildSpec

SECTIONS = ("build", "quality", "source", "images")
"""What a task may change."""

ELSEWHERE = frozenset({"source.template"})
"""Settings that say where things are: the spec's source says where that led."""


def task_of(spec: BuildSpec, settings: Settings) -> Task:
    """The task whose build, by a manager with these settings, has this spec: same source, options and content."""
    task = Task(
        task_id=spec.index_id, label=spec.label, source=spec.source_url, probes=spec.probes_url,
        options=options_of(spec, settings), fingerprint=spec.fingerprint,
    )  # fmt: skip
    return replace(task, content=content_of(task))


def options_of(spec: BuildSpec, settings: Settings) -> dict[str, str]:
    """Settings of the build that are others than those in force, as texts."""
    found = {}
    for name in SECTIONS:
        built, now = getattr(spec, name), getattr(settings, name)
        for field in fields(built):
            key, value = f"{name}.{field.name}", getattr(built, field.name)
            if key not in ELSEWHERE and value != getattr(now, field.name):
                found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def spec_of(value: Any) -> BuildSpec | None:
    """The spec in parsed JSON; None for one of another version, whose settings are others."""
    try:
        return BuildSpec.from_json(json.dumps(value).encode())
    except (TypeError, KeyError, AttributeError):
        return None
