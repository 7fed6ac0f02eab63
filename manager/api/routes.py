"""The manager's API: the original's routes, with those that it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from configs.errors import LimError
from manager.api import bucket, documenting, events, plans, tasks
from manager.api.allowing import let_in
from manager.api.answering import answered, refused
from manager.api.feed import Feed
from manager.api.metrics import ManagerMetrics, registry_of
from manager.pages.access import Role
from manager.parts import Parts
from pipeline.web import about
from pipeline.web.requests import Figures, Requests

AT_ONCE = 64
"""Requests that are answered at one time; further ones wait, so that Redis has a connection for each.  Streams are answers
that have begun, and not counted."""

Call = Callable[[Request, Parts], Awaitable[Response]]
Row = tuple[str, str, Role, Call]
"""Method, path, what a caller must be allowed ("" = nothing), handler."""


def application(parts: Parts, pages: Sequence[BaseRoute] = ()) -> Starlette:
    """The API under /1, what every service says about itself with that prefix or without, and `pages` beside them."""
    feed = Feed(parts.tasks, parts.stopping)
    metrics = ManagerMetrics(parts, feed)
    registry = registry_of(metrics)

    async def scraped(_: Request, __: Parts) -> Response:
        await metrics.look()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    selves = _of_itself(scraped)
    routes = [*_routes("/1", [*_api(events.Streams(feed)), *selves], parts), *_routes("", selves, parts)]
    requests = Middleware(Requests, figures=Figures(registry), refused=refused)
    handlers: dict[Any, Any] = {LimError: answered, HTTPException: answered}
    return Starlette(routes=[*routes, *pages], middleware=[requests], exception_handlers=handlers)


def _api(streams: events.Streams) -> list[Row]:
    return [
        ("GET", "/plan", "read", plans.last),
        ("GET", "/queue", "read", tasks.queue),
        ("GET", "/tasks", "read", tasks.tasks),
        ("POST", "/tasks", "write", tasks.submitted),
        ("GET", "/tasks/{task_id}", "read", tasks.task),
        ("DELETE", "/tasks/{task_id}", "write", tasks.cancel),
        ("POST", "/tasks/{task_id}/retry", "write", tasks.retry),
        ("POST", "/tasks/{task_id}/priority", "write", tasks.prioritise),
        ("GET", "/tasks/{task_id}/events", "read", streams.one),
        ("GET", "/events", "read", streams.everything),
        ("GET", "/indexes", "read", bucket.indexes),
        ("GET", "/indexes/labels", "read", bucket.newest),
        ("GET", "/indexes/{index_id}", "read", bucket.index),
        ("DELETE", "/indexes/{index_id}", "write", bucket.remove),
        ("GET", "/labels", "read", bucket.labels),
        ("POST", "/labels/{label:path}/head", "write", bucket.head),
        ("GET", "/labels/{label:path}", "read", bucket.label),
    ]


def _of_itself(scraped: Call) -> list[Row]:
    return [
        ("GET", "/version", "", lambda request, _: about.version(request)),
        ("GET", "/healthcheck", "", _health),
        ("GET", "/plugins", "read", lambda request, _: about.plugins(request)),
        ("GET", "/config", "read", _config),
        ("GET", "/metrics", "read", scraped),
        ("GET", "/docs/spec", "", documenting.spec),
        ("GET", "/docs", "", documenting.page),
    ]


def _routes(prefix: str, rows: Sequence[Row], parts: Parts) -> list[Route]:
    """One route a path, so that what answers a wrong method names all right ones."""
    at_once = asyncio.Semaphore(AT_ONCE)
    by_path: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_path.setdefault(row[1], {})[row[0]] = row

    def endpoint(path: str, methods: dict[str, Row]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            request.scope["route_path"] = path  # what figures name it by
            _, _, needed, call = methods["GET" if request.method == "HEAD" else request.method]
            if needed:
                let_in(request, parts.access, parts.settings, needed)
            async with at_once:
                return await call(request, parts)

        return answer

    return [Route(prefix + path, endpoint(path, methods), methods=[*methods]) for path, methods in by_path.items()]


async def _health(_: Request, parts: Parts) -> Response:
    return about.health(await parts.problems())


async def _config(_: Request, parts: Parts) -> Response:
    return about.config(parts.settings)
