"""Tasks, indexes, labels as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from configs.hiding import without_password
from manager.shelf.rows import IndexView, LabelRow, LabelView
from manager.tasks.task import Task


def moment(seconds: float) -> str | None:
    """RFC 3339 in UTC; None for 0, which is not yet."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if seconds else None


def task_json(task: Task) -> dict[str, Any]:
    """Everything about a task; passwords in URLs are hidden."""
    return {
        "task_id": task.task_id,
        "status": task.status,
        "label": task.label,
        "source": without_password(task.source),
        "probes": without_password(task.probes),
        "options": {name: without_password(value) for name, value in task.options.items()},
        "priority": task.priority,
        "rows": task.rows,
        "fingerprint": task.fingerprint,
        "content": task.content,
        "digest": task.digest,
        "create_time": moment(task.created),
        "start_time": moment(task.started),
        "end_time": moment(task.ended),
        "next_attempt_time": moment(task.not_before) if task.status == "pending" else None,
        "attempts": task.attempts,
        "cancelling": task.cancelling,
        "indexer": task.indexer,
        "progress": progress_json(task),
        "error": error_json(task),
        "submitted_by": task.submitted_by,
        "request_id": task.request_id,
    }


def progress_json(task: Task) -> dict[str, Any] | None:
    """Of the build that runs; None where none does."""
    if task.status != "indexing":
        return None
    return {
        "stage": task.stage,
        "items": task.items,
        "finished": task.finished,
        "rows_per_s": task.rows_per_s,
        "eta_s": task.eta_s if task.eta_s >= 0 else None,
    }


def error_json(task: Task) -> dict[str, Any] | None:
    """Why it ended, or why the attempt before did; None where nothing went wrong."""
    if not task.error_code:
        return None
    detail = without_password(task.detail)
    return {
        "error_code": task.error_code,
        "desc": task.desc,
        "detail": detail,
        "link": f"/docs#error-{task.error_code}",
    }


def index_json(view: IndexView) -> dict[str, Any]:
    """An index; the original has its `descriptor_version` beside its id."""
    version = view.figures.descriptor_version if view.figures else None
    return {"index_id": view.index_id, "label": view.label, "descriptor_version": version, **view.to_json()}


def label_row_json(row: LabelRow) -> dict[str, Any]:
    """A label in a list."""
    return row.to_json() | {"index": index_json(row.index) if row.index else None}


def label_json(view: LabelView) -> dict[str, Any]:
    """A label with its versions."""
    return view.to_json() | {"versions": [index_json(one) for one in view.versions]}
