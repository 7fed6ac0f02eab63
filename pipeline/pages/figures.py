"""Figures of a build as a person reads them: rates, times, what is left."""

from __future__ import annotations

from typing import Any

from pipeline.pages.history import BuildOf, StageOf


def rows_per_s(stage: StageOf, now: float) -> float:
    """Rows of this run a second of the stage; 0 where it handles none."""
    spent = stage.seconds if stage.seconds is not None else now - stage.began
    return stage.rows / spent if stage.rows and spent > 0 else 0.0


def left_s(stage: StageOf, now: float) -> float | None:
    """Seconds until the stage is done at its pace so far; None while that cannot be told."""
    if stage.seconds is not None:
        return 0.0
    todo = stage.items - stage.finished - stage.done
    if not stage.began or not stage.done or todo < 0:
        return None
    return (now - stage.began) / stage.done * todo


def build_left_s(build: BuildOf, like: BuildOf | None, now: float) -> float | None:
    """Seconds until the build is done, if each stage to come takes as long per row as in the earlier build `like`.

    None without such a build, or before the rows of this one are counted.
    """
    extracted, rows = build.stages.get("extract"), 0
    if extracted is not None and extracted.seconds is not None:
        # a continued run handled only some of its items
        share = extracted.done / extracted.items if extracted.items else 0
        rows = round(extracted.rows / share) if share else 0
    if like is None or not like.rows or not rows or not build.is_open:
        return None
    total = 0.0
    for name, stage in build.stages.items():
        before = like.stages.get(name)
        expected = (before.seconds or 0.0) * rows / like.rows if before else 0.0
        if not stage.began:
            total += expected
        elif stage.seconds is None:
            pace = left_s(stage, now)
            total += pace if pace is not None else max(0.0, expected - (now - stage.began))
    return total


def span(seconds: float | None) -> str:
    """A span of time in two units at most: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def figures(build: BuildOf, like: BuildOf | None, now: float) -> dict[str, Any]:
    """A build as JSON fields; times in seconds since 1970, spans in seconds, what is not known None."""
    stage = build.stage
    names = list(build.stages)
    begun = build.began or build.submitted
    shown: dict[str, Any] = {
        "id": build.run, "label": build.label, "source": build.source, "index_id": build.index_id or None,
        "state": build.state, "submitted_here": build.order is not None, "submitted": build.submitted or None,
        "began": build.began or None, "ended": build.ended or None,
        "seconds": (build.ended or now) - begun if begun else None,
        "rows": build.rows or None, "error": build.error or None, "report": build.report or None,
        "stage": stage.name if stage else None, "stage_number": names.index(stage.name) + 1 if stage else None,
        "stages_all": len(names) or None, "left_s": build_left_s(build, like, now),
        "stages": [stage_figures(one, now if build.is_open else build.ended) for one in build.stages.values()],
    }  # fmt: skip
    return shown


def stage_figures(stage: StageOf, now: float) -> dict[str, Any]:
    """A stage as JSON fields."""
    state = "waiting" if not stage.began else "running" if stage.seconds is None else "done"
    return {
        "name": stage.name, "state": state, "items": stage.items, "items_done": stage.finished + stage.done,
        "items_of_earlier_runs": stage.finished, "rows": stage.rows, "rows_per_s": rows_per_s(stage, now) or None,
        "wave": stage.wave, "seconds": stage.seconds if stage.seconds is not None else
        (now - stage.began if stage.began else None), "left_s": left_s(stage, now) if stage.began else None,
    }  # fmt: skip
