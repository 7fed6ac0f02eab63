"""The addresses of the pages."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from manager.pages import compare, labels, login, overview, showing, submitting
from manager.pages.asking import Endpoint, Gate
from manager.pages.cluster import Cluster
from manager.pages.parts import PageParts
from manager.parts import Parts

PAGES = (
    ("GET", "/labels", labels.labels, "Labels"),
    ("GET", "/labels/{label:path}", labels.label, "Labels"),
    ("GET", "/change", labels.ask, "Labels"),
    ("POST", "/change", labels.change, "Labels"),
    ("GET", "/report", labels.report, "Labels"),
    ("GET", "/builds", showing.builds, "Builds"),
    ("GET", "/builds/{task_id}", showing.build, "Builds"),
    ("POST", "/builds/{task_id}/cancel", showing.cancel, "Builds"),
    ("POST", "/builds/{task_id}/retry", showing.retry, "Builds"),
    ("POST", "/builds/{task_id}/priority", showing.prioritise, "Builds"),
    ("GET", "/compare", compare.show, "Compare"),
    ("GET", "/submit", submitting.show, "Submit"),
    ("POST", "/submit", submitting.take, "Submit"),
)
"""Method, path, handler, entry of the navigation; `/` is added, whose handler remembers."""

PUBLIC = (
    ("GET", "/login", login.show, ""),
    ("POST", "/login", login.log_in, ""),
    ("POST", "/logout", login.log_out, ""),
)
"""Answered without a login, or with one that only reads."""


def routes(parts: Parts) -> list[Route]:
    """The pages of a manager, for the application that has its API under /1."""
    pages = PageParts(parts, Cluster(parts.settings))
    gate, first = Gate(pages), ("GET", "/", overview.watching(pages), "Overview")
    return [
        Route(path, _named(path, gate.endpoint(handler, section, is_public=table is PUBLIC)), methods=[method])
        for table in ((first, *PAGES), PUBLIC)
        for method, path, handler, section in table
    ]


def _named(path: str, endpoint: Endpoint) -> Endpoint:
    async def answered(request: Request) -> Response:
        request.scope["route_path"] = path  # what figures name it by
        return await endpoint(request)

    return answered
