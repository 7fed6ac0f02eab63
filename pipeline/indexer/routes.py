"""The indexer's HTTP: the original's routes."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.indexer.errors import BadOrder, IndexerError
from pipeline.indexer.metrics import registry_of
from pipeline.indexer.openapi import document
from pipeline.indexer.orders import IndexList
from pipeline.indexer.service import Service
from pipeline.web.about import config, health, plugins, version
from pipeline.web.answers import refusal, unknown
from pipeline.web.bodies import read_json
from pipeline.web.requests import Figures, Requests


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

    async def healthcheck(self, _: Request) -> Response:
        """200 when it is of full use; 503 with what is missing."""
        return health(self.service.problems())

    async def config(self, _: Request) -> Response:
        """The effective settings, secrets hidden."""
        return config(self.service.settings)

    async def prometheus(self, _: Request) -> Response:
        """Metrics as text."""
        return Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)

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
        ("GET", "/version", version),
        ("GET", "/healthcheck", pages.healthcheck),
        ("GET", "/config", pages.config),
        ("GET", "/metrics", pages.prometheus),
        ("GET", "/plugins", plugins),
        ("GET", "/docs/spec", pages.spec),
    ]
    routes = [
        Route(prefix + path, _named(path, handler), methods=[method])
        for prefix in ("", "/1")
        for method, path, handler in table
    ]
    requests = Middleware(Requests, figures=Figures(pages.metrics), refused=_refused)
    handlers: dict[Any, Any] = {IndexerError: _answered, HTTPException: _answered}
    return Starlette(routes=routes, middleware=[requests], exception_handlers=handlers)


def _named(path: str, handler: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        request.scope["route_path"] = path  # what figures name it by
        answer: Response = await handler(request)
        return answer

    return endpoint


async def _json(request: Request) -> Any:
    try:
        return await read_json(request)
    except ValueError as error:
        raise BadOrder(str(error)) from error


def _refused(error: Exception) -> Response:
    return refusal(error) if isinstance(error, IndexerError) else unknown(error, IndexerError.error_code)


async def _answered(_: Request, error: Exception) -> Response:
    return _refused(error)
