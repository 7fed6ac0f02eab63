"""Turns what went wrong into answers."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from configs.errors import LimError
from manager.errors import BadMethod, NoSuchPage, OfTask, TaskError, Unauthorised, Unavailable
from pipeline.web.answers import refusal, unknown

HEADERS: dict[type[TaskError], dict[str, str]] = {
    Unauthorised: {"WWW-Authenticate": "Bearer"},
    Unavailable: {"Retry-After": "1"},
}


def refused(error: Exception) -> Response:
    """The answer; `link` leads to the task that an error is about, or to what its code means."""
    if isinstance(error, HTTPException):
        return _of_starlette(error)
    if not isinstance(error, LimError):
        return unknown(error, TaskError.error_code)
    known = error if isinstance(error, TaskError) else TaskError(str(error))
    link = f"/1/tasks/{error.task_id}" if isinstance(error, OfTask) else f"/docs#error-{known.error_code}"
    return refusal(known, link, HEADERS.get(type(known)))


async def answered(_: Request, error: Exception) -> Response:
    """The same, as Starlette calls it."""
    return refused(error)


def _of_starlette(error: HTTPException) -> Response:
    if error.status_code == 404:
        return refusal(
            NoSuchPage("there is no such route: /docs lists those that there are"),
            f"/docs#error-{NoSuchPage.error_code}",
        )
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        said = BadMethod(f"expected {allowed or 'another method'}: /docs lists the methods of each route")
        return refusal(said, f"/docs#error-{BadMethod.error_code}", error.headers)
    return unknown(error, TaskError.error_code)
