"""The HTTP of a manager: API and pages on one port."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from manager.parts import Parts
from pipeline.web import about


def application(parts: Parts) -> ASGIApp:
    """Everything that answers, over the parts of one manager."""

    async def healthcheck(_: Request) -> Response:
        return about.health(parts.health.problems())

    return Starlette(routes=[Route("/healthcheck", healthcheck), Route("/version", about.version)])
