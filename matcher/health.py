"""HTTP for operators: alive, ready, what is held, metrics."""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from configs.hiding import visible
from matcher.drawing import unwatched
from matcher.held import Held
from matcher.metrics import registry_of
from matcher.whereabouts import whereabouts

if TYPE_CHECKING:
    from matcher.service import Service


def application(service: Service) -> Starlette:
    """The routes, over one service."""
    metrics = registry_of(service)

    async def healthcheck(_: Request) -> Response:
        """200 when ready; 503 with what is missing while alive only."""
        problems = []
        if not service.ready:
            problems.append("still loading")
        if not service.announcer.stands():
            problems.append("the announcement in Redis lapsed: is Redis reachable?")
        if service.watch.unreachable:
            problems.append(f"the bucket cannot be read: {service.watch.unreachable}")
        # a shard that nobody holds is the group's trouble, not a fault of this matcher
        shards = whereabouts(service.watch.sharing, service.residency)
        body = {
            "status": "fail" if problems else "ok", "problems": problems, "labels": len(service.residency.serving),
            "shards_missing": [one for one in shards if one["missing"]],
        }  # fmt: skip
        return JSONResponse(body, 503 if problems else 200)

    async def version(_: Request) -> Response:
        """The version, in the original's form."""
        major, minor, patch = installed("lim").split(".")[:3]
        return JSONResponse({"Version": {"api": 1, "major": int(major), "minor": int(minor), "patch": int(patch)}})

    async def indexes(_: Request) -> Response:
        """What is in memory, and what is not with the reason."""
        held = [
            {**one.served, "rows": one.index.rows, "recipe": one.index.manifest.recipe, "memory": one.index.memory.anonymous,
             "retired": one.retired_at is not None, "live": live(one)}
            for one in service.residency.held.values()
        ]  # fmt: skip
        failed = [
            {"label": label, "index_id": one.index_id, "error_code": one.error.error_code, "detail": str(one.error)}
            for label, one in service.residency.failures.items()
        ]
        shards = whereabouts(service.watch.sharing, service.residency)
        return JSONResponse({"indexes": held, "not_loaded": failed, "shards": shards})

    def live(held: Held) -> dict[str, Any]:
        why = unwatched(held, service.drawer.share)
        return {"off": why} if why else held.live.shown()

    async def config(_: Request) -> Response:
        """The effective settings, secrets hidden."""
        settings = service.settings
        return JSONResponse({section.name: visible(getattr(settings, section.name)) for section in fields(settings)})

    async def prometheus(_: Request) -> Response:
        """Metrics as text."""
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    routes = [
        Route("/healthcheck", healthcheck),
        Route("/version", version),
        Route("/indexes", indexes),
        Route("/config", config),
        Route("/metrics", prometheus),
    ]
    return Starlette(routes=routes)
