"""The indexer's HTTP: the original's routes."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.metadata import version as installed
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from configs.hiding import visible
from pipeline.indexer.errors import BadOrder, IndexerError
from pipeline.indexer.metrics import registry_of
from pipeline.indexer.openapi import document
from pipeline.indexer.orders import IndexList
from pipeline.indexer.requests import Requests, refused
from pipeline.indexer.service import Service

MOST_BYTES = 64 << 10
"""Of an order's body."""


class Pages:
    """The handlers, over one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.metrics = registry_of(service)

    async def state(self, _: Request) -> Response:
        """What it builds."""
        return JSONResponse(self.service.state())

    async def index_list(self, request: Request) -> Response:
        """Begin a build."""
        await self.service.index_list(IndexList.read(await _json(request)))
        return JSONResponse({})

    async def stop(self, _: Request) -> Response:
        """End the build that runs, if there is one."""
        await self.service.stop()
        return JSONResponse({})

    async def version(self, _: Request) -> Response:
        """The version, in the original's form."""
        major, minor, patch = (int(part) for part in installed("lim").split(".")[:3])
        return JSONResponse({"Version": {"api": 1, "major": major, "minor": minor, "patch": patch}})

    async def healthcheck(self, _: Request) -> Response:
        """200 when it is of full use; 503 with what is missing."""
        problems = self.service.problems()
        return JSONResponse({"status": "fail" if problems else "ok", "problems": problems}, 503 if problems else 200)

    async def config(self, _: Request) -> Response:
        """The effective settings, secrets hidden."""
        settings = self.service.settings
        return JSONResponse({section.name: visible(getattr(settings, section.name)) for section in fields(settings)})

    async def prometheus(self, _: Request) -> Response:
        """Metrics as text."""
        return Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)

    async def plugins(self, _: Request) -> Response:
        """None: recipes and sources are part of the program."""
        return JSONResponse({"plugins": []})

    async def spec(self, _: Request) -> Response:
        """This interface as an OpenAPI document."""
        return JSONResponse(document(installed("lim")))


def application(service: Service) -> Starlette:
    """The routes, each with the original's prefix /1 as well as without."""
    pages = Pages(service)
    table: list[tuple[str, str, Any]] = [
        ("GET", "/state", pages.state),
        ("POST", "/index_list", pages.index_list),
        ("POST", "/stop", pages.stop),
        ("GET", "/version", pages.version),
        ("GET", "/healthcheck", pages.healthcheck),
        ("GET", "/config", pages.config),
        ("GET", "/metrics", pages.prometheus),
        ("GET", "/plugins", pages.plugins),
        ("GET", "/docs/spec", pages.spec),
    ]
    routes = [
        Route(prefix + path, _named(path, handler), methods=[method])
        for prefix in ("", "/1")
        for method, path, handler in table
    ]
    requests = Middleware(BaseHTTPMiddleware, dispatch=Requests(pages.metrics))
    handlers: dict[Any, Any] = {IndexerError: refused, HTTPException: refused, Exception: refused}
    return Starlette(routes=routes, middleware=[requests], exception_handlers=handlers)


def _named(path: str, handler: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        request.scope["route_path"] = path  # what figures name it by
        answer: Response = await handler(request)
        return answer

    return endpoint


async def _json(request: Request) -> Any:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BadOrder(f"body: expected at most {MOST_BYTES:,} bytes of JSON, got more")
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadOrder(f"body: expected JSON, got something else ({error})") from error
