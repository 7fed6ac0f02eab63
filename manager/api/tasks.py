"""Tasks over HTTP."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from manager.api.reading import OPTIONS, TEXT, TRUTH, WHOLE, Kind, Query, as_text, body_of
from manager.api.shown import task_json
from manager.errors import BadRequest
from manager.parts import Parts
from manager.submitting import Submission, submit
from manager.tasks.finding import Wanted
from manager.tasks.task import STATUSES, Status

SUBMISSION: dict[str, Kind] = {
    "list_id": TEXT, "source": TEXT, "probes": TEXT, "options": OPTIONS, "priority": WHOLE, "task_id": TEXT, "again": TRUTH,
    "submitted_by": TEXT,
}  # fmt: skip
"""Fields of a submission; the original knows the first alone."""

FILTERS = ("task_ids", "statuses", "start_time__gte", "start_time__lt", "indexer", "label", "limit", "cursor")


async def queue(request: Request, parts: Parts) -> Response:
    """Tasks that wait, in the order of their turns."""
    query = Query.of(request, "limit", "cursor")
    limit, offset = query.limit, query.offset
    count = (await parts.tasks.counts())["pending"]
    task_ids = await parts.tasks.waiting(limit, offset)
    return JSONResponse({"task_ids": task_ids, "count": count, "next": query.page(count)})


async def tasks(request: Request, parts: Parts) -> Response:
    """Tasks, the newest first."""
    query = Query.of(request, *FILTERS)
    statuses = query.words("statuses")
    if unknown := [one for one in statuses if one not in STATUSES]:
        raise BadRequest(f"statuses: expected any of {', '.join(STATUSES)}, got {unknown[0][:40]!r}")
    wanted = Wanted(
        task_ids=query.words("task_ids"),
        statuses=cast(tuple[Status, ...], statuses),
        created_from=query.moment("start_time__gte"),
        created_before=query.moment("start_time__lt"),
        indexer=query.text("indexer"),
        label=query.text("label"),
    )
    page = await parts.tasks.find(wanted, query.limit, query.text("cursor"))
    return JSONResponse({"tasks": [task_json(one) for one in page.tasks], "next": page.next or None})


async def submitted(request: Request, parts: Parts) -> Response:
    """A new task; 201 with its id."""
    body = await body_of(request, SUBMISSION, ("list_id",))
    options = {name: as_text(value) for name, value in body.get("options", {}).items()}
    fields = {name: value for name, value in body.items() if name not in ("list_id", "options")}
    wanted = Submission(label=body["list_id"], options=options, request_id=request.scope["request_id"], **fields)
    task = await submit(parts, wanted)
    return JSONResponse({"task_id": task.task_id}, 201, {"Location": f"/1/tasks/{task.task_id}"})


async def task(request: Request, parts: Parts) -> Response:
    """One task with its progress."""
    return JSONResponse(task_json(await parts.tasks.get(_id(request))))


async def cancel(request: Request, parts: Parts) -> Response:
    """End a task: one that waits at once, one that is built within moments, as `cancelling` says until then."""
    return JSONResponse(task_json(await parts.tasks.cancel(_id(request))))


async def retry(request: Request, parts: Parts) -> Response:
    """Let a task that failed or was cancelled wait once more."""
    return JSONResponse(task_json(await parts.tasks.retry(_id(request))))


async def prioritise(request: Request, parts: Parts) -> Response:
    """Give a task another priority."""
    body = await body_of(request, {"priority": WHOLE}, ("priority",))
    return JSONResponse(task_json(await parts.tasks.prioritise(_id(request), body["priority"])))


def _id(request: Request) -> str:
    Query.of(request)
    found: str = request.path_params["task_id"]
    return found
