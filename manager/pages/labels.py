"""Handlers of the pages of labels: the list, one label, which version serves, its removal."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from manager.errors import InUse, NoSuchIndex, Unreadable
from manager.pages.asking import Asked
from manager.pages.builds import views_of
from manager.pages.notes import note_of
from manager.pages.versions import VersionView, rows_of, versions_of
from manager.shelf.rows import LabelView
from manager.tasks.finding import Wanted
from pipeline.artifact import ArtifactError, index_prefix
from pipeline.pages.rendering import REPORT_POLICY

PAGE = 50
MOST_BUILDS = 20


async def labels(asked: Asked) -> Response:
    """GET /labels: a page of those that begin as is asked for."""
    shelf, wanted, number = asked.parts.manager.shelf, asked.query("q"), _number(asked.query("page"))
    first = (number - 1) * PAGE
    rows, total = await shelf.labels(wanted, first, PAGE), shelf.count(wanted)
    way = asked.frame.labels
    return asked.page(
        "labels.html.j2", rows=rows_of(rows), wanted=wanted, page_number=number, total=total, first=first + 1,
        last=first + len(rows), before=way(wanted, number - 1) if number > 1 else "",
        after=way(wanted, number + 1) if first + PAGE < total else "",
    )  # fmt: skip


async def label(asked: Asked) -> Response:
    """GET /labels/{label}."""
    name = asked.query("name") or str(asked.request.path_params["label"])
    view = await asked.parts.manager.shelf.label(name)
    wanted = Wanted(label=name, statuses=("pending", "indexing"))
    tasks = (await asked.parts.manager.tasks.find(wanted, MOST_BUILDS)).tasks
    versions = versions_of(view)
    return asked.page(
        "label.html.j2", label=view, versions=versions, alarms=[note_of(one, ()) for one in view.alarms], done=asked.query("done"),
        open_builds=views_of(tasks, time.time()), moves=bool(tasks) or _is_moving(view), said=_said(view, versions),
    )  # fmt: skip


async def ask(asked: Asked) -> Response:
    """GET /change: what would be done, before it is."""
    return await _asked(asked, asked.query("do"), asked.query("label"), asked.query("index"))


async def change(asked: Asked) -> Response:
    """POST /change: let a version serve, or delete it."""
    do, name, index_id = (asked.fields.get(one, "") for one in ("do", "label", "index"))
    shelf = asked.parts.manager.shelf
    try:
        if do == "serve":
            await shelf.roll(name, index_id)
        elif do == "delete":
            await shelf.delete(name, index_id)
            await asked.parts.manager.tasks.removed(name, index_id)
        else:
            raise _unknown(do)
    except (InUse, Unreadable) as error:
        return await _asked(asked, do, name, index_id, str(error))
    way = asked.frame.label(name)
    return asked.go(f"{way}{'&' if '?' in way else '?'}done={'rolled' if do == 'serve' else 'deleted'}")


async def report(asked: Asked) -> Response:
    """GET /report: the published report of a version, from the bucket."""
    key = index_prefix(asked.query("label"), asked.query("index")) + "report.html"
    try:
        page = await asyncio.to_thread(asked.parts.manager.store.read, key)
    except ArtifactError as error:
        raise HTTPException(404, f"{key}: cannot be read from {asked.parts.manager.store.url}: {error}") from error
    return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})


async def _asked(asked: Asked, do: str, name: str, index_id: str, refused: str = "") -> Response:
    if do not in ("serve", "delete"):
        raise _unknown(do)
    versions = versions_of(await asked.parts.manager.shelf.label(name))
    version = next((one for one in versions if one.index.index_id == index_id), None)
    if version is None:
        raise NoSuchIndex(f"{index_id}: {name!r} has no such version")
    heading, button = _words(do, name, version)
    if not refused and do == "delete" and not version.can_go:
        refused = f"it cannot be deleted: {version.why_kept}"
    if not refused and do == "serve" and not version.can_serve:
        refused = "it serves already" if version.index.serves else f"it cannot be read: {version.index.problem}"
    serving = next((one for one in versions if one.index.serves), None)
    return asked.page(
        "change.html.j2", status=409 if refused else 200, do=do, label=name, version=version, serving=serving,
        heading=heading, button=button, refused=refused,
    )  # fmt: skip


def _unknown(do: str) -> HTTPException:
    return HTTPException(400, f"do: expected serve or delete, got {do!r}")


def _words(do: str, name: str, version: VersionView) -> tuple[str, str]:
    if do == "delete":
        return f"Delete a version of {name}?", "Delete it for good"
    way = "forward" if version.newer else "back"
    return f"Roll {name} {way} to this version?", f"Roll {way}"


def _is_moving(view: LabelView) -> bool:
    return any(one.serves and (one.missing_shards or one.loading_by) for one in view.versions)


def _said(view: LabelView, versions: list[VersionView]) -> str:
    """What a screen reader says when it changes."""
    serving = next((one for one in versions if one.index.serves), None)
    if serving is None:
        return f"{view.label}: nothing serves"
    held = "held by matchers" if serving.state == "serves" else "not yet held by matchers"
    return f"{view.label}: index {serving.index.index_id[:8]} is to serve, {held}"


def _number(text: str) -> int:
    return max(1, int(text[:9])) if text.isdecimal() else 1
