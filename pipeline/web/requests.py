"""What happens to every HTTP request: an id, a count, an answer even to mistakes."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

ID = "Luna-Request-Id"
"""Header with the id of a request: taken if given, made if not, returned, logged, passed on."""

_ID = re.compile(r"[!-~]{1,100}")
"""What is taken: it goes into logs and tasks."""


class Figures:
    """Counts and times of requests under the original's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("route", "status_code")
        self._requests = Counter("request_count", "Requests.", names, registry=registry)
        self._errors = Counter(
            "errors_count", "Requests answered with an error.", ("route", "error_code"), registry=registry
        )
        self._seconds = Histogram("requests", "Seconds of requests.", names, registry=registry)

    def add(self, route: str, status: int, error_code: str, seconds: float) -> None:
        """One request; for a stream `seconds` are those to its beginning."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route, str(status)).observe(seconds)
        if error_code:
            self._errors.labels(route, error_code).inc()


class Requests:
    """Around an application: identifies requests, counts and times them, answers what it raises.

    Plain ASGI, so that streams pass through as they are.
    """

    def __init__(self, app: ASGIApp, figures: Figures, refused: Callable[[Exception], Response]) -> None:
        self._app, self._figures, self._refused = app, figures, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = _id_of(Headers(scope=scope).get(ID, ""))
        began, started = time.perf_counter(), False

        async def told(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[ID] = request_id
                self._note(scope, message["status"], headers.get("Error-Code", ""), time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception as error:  # the top of the loop of requests: the service goes on
            if started:
                raise
            await self._refused(error)(scope, receive, told)

    def _note(self, scope: Scope, status: int, error_code: str, seconds: float) -> None:
        route = f"{scope['method']}:{scope.get('route_path', 'other')}"
        self._figures.add(route, status, error_code, seconds)
        is_wish = scope["method"] not in ("GET", "HEAD")
        if status >= 400 or is_wish:
            logger.info("%s %s: %d", scope["request_id"], route, status)


def _id_of(given: str) -> str:
    return given if _ID.fullmatch(given) else f"{int(time.time())},{uuid.uuid4()}"
