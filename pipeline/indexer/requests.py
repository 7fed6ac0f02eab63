"""What happens to every HTTP request: an id, a count, an answer even to mistakes."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.indexer.errors import IndexerError

logger = logging.getLogger(__name__)

ID = "Luna-Request-Id"
"""Header with the id of a request: taken if given, made if not, returned, logged."""

Next = Callable[[Request], Awaitable[Response]]


class Requests:
    """A middleware that identifies, counts, times requests; its figures have the original's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("route", "status_code")
        self._requests = Counter("request_count", "Requests.", names, registry=registry)
        self._errors = Counter(
            "errors_count", "Requests answered with an error.", ("route", "error_code"), registry=registry
        )
        self._seconds = Histogram("requests", "Seconds of requests.", names, registry=registry)

    async def __call__(self, request: Request, call_next: Next) -> Response:
        """Answer one request."""
        request_id = request.headers.get(ID) or f"{int(time.time())},{uuid.uuid4()}"
        began = time.perf_counter()
        response = await call_next(request)
        route = f"{request.method}:{request.scope.get('route_path', 'other')}"
        status = str(response.status_code)
        self._requests.labels(route, status).inc()
        self._seconds.labels(route, status).observe(time.perf_counter() - began)
        if code := response.headers.get("Error-Code"):
            self._errors.labels(route, code).inc()
        if response.status_code >= 400:
            logger.info("%s %s: %s", request_id, route, status)
        response.headers[ID] = request_id
        return response


async def refused(_: Request, error: Exception) -> Response:
    """The answer to what a handler raises; the body has the original's form."""
    if isinstance(error, IndexerError):
        return _answer(error.status, error.error_code, error.desc, str(error))
    if isinstance(error, HTTPException):
        return _answer(error.status_code, IndexerError.error_code, error.detail.lower(), error.detail)
    logger.error("A request failed.", exc_info=error)
    return _answer(500, IndexerError.error_code, IndexerError.desc, type(error).__name__)


def _answer(status: int, code: int, desc: str, detail: str) -> Response:
    body = {"error_code": code, "desc": desc, "detail": detail, "link": ""}
    return JSONResponse(body, status, {"Error-Code": str(code)})
