"""Indexes over HTTP, with the labels that they are versions of."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from manager.api.reading import TEXT, Query, body_of
from manager.api.shown import index_json, label_json, label_row_json
from manager.checking import TASK_ID, wrong_label
from manager.errors import BadRequest, NoSuchIndex, NoSuchLabel
from manager.parts import Parts


async def indexes(request: Request, parts: Parts) -> Response:
    """Stored indexes: by label, newest first."""
    query = Query.of(request, "prefix", "limit", "cursor")
    found = await parts.shelf.indexes(query.text("prefix"), query.offset, query.limit)
    # a page lacks those that heads still name and that were removed, so that its length tells nothing
    more = query.page(parts.shelf.count_indexes(query.text("prefix")))
    return JSONResponse({"indexes": [index_json(one) for one in found], "next": more})


async def newest(request: Request, parts: Parts) -> Response:
    """The index of each label that serves."""
    query = Query.of(request, "prefix", "limit", "cursor")
    rows = await parts.shelf.labels(query.text("prefix"), query.offset, query.limit)
    shown = [index_json(row.index) for row in rows if row.index is not None]
    return JSONResponse({"indexes": shown, "next": query.page(parts.shelf.count(query.text("prefix")))})


async def index(request: Request, parts: Parts) -> Response:
    """One index with the figures of its report."""
    query = Query.of(request, "label")
    found = await parts.shelf.index(*_index(request, query.text("label"), parts))
    return JSONResponse(index_json(found))


async def remove(request: Request, parts: Parts) -> Response:
    """Remove an index for good; one that serves, is held or is being loaded is refused."""
    query = Query.of(request, "label")
    found = await parts.shelf.index(*_index(request, query.text("label"), parts))
    await parts.shelf.delete(found.label, found.index_id)
    await parts.tasks.removed(found.label, found.index_id)
    return Response(status_code=204)


async def labels(request: Request, parts: Parts) -> Response:
    """Labels by name, each with the index that serves."""
    query = Query.of(request, "prefix", "limit", "cursor")
    rows = await parts.shelf.labels(query.text("prefix"), query.offset, query.limit)
    count = parts.shelf.count(query.text("prefix"))
    return JSONResponse({"labels": [label_row_json(row) for row in rows], "count": count, "next": query.page(count)})


async def label(request: Request, parts: Parts) -> Response:
    """A label with its versions, the newest first."""
    Query.of(request)
    return JSONResponse(label_json(await parts.shelf.label(_label(request, parts))))


async def head(request: Request, parts: Parts) -> Response:
    """Let another version serve, an older or a newer one."""
    Query.of(request)
    body = await body_of(request, {"index_id": TEXT}, ("index_id",))
    if not TASK_ID.fullmatch(body["index_id"]):
        raise BadRequest(
            f"index_id: expected up to 100 letters, digits, '.', '_' or '-', got {body['index_id'][:120]!r}"
        )
    return JSONResponse(label_json(await parts.shelf.roll(_label(request, parts), body["index_id"])))


def _label(request: Request, parts: Parts) -> str:
    found: str = request.path_params["label"]
    if wrong := wrong_label(found, parts.settings.storage.bucket):
        raise NoSuchLabel(wrong)
    return found


def _index(request: Request, label: str, parts: Parts) -> tuple[str, str]:
    """Id and label of an index that can be; names of files and keys have their limits."""
    index_id: str = request.path_params["index_id"]
    if not TASK_ID.fullmatch(index_id) or (label and wrong_label(label, parts.settings.storage.bucket)):
        raise NoSuchIndex(
            f"{index_id[:120]!r}: there can be no index of this id; GET /1/indexes lists those that there are"
        )
    return index_id, label
