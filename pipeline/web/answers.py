"""Answers in the original's form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, Protocol

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from configs.hiding import without_password

logger = logging.getLogger(__name__)


class Coded(Protocol):
    """An error that HTTP can carry."""

    error_code: ClassVar[int]
    desc: ClassVar[str]
    status: ClassVar[int]


def refusal(error: Coded, link: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer to an error with a code."""
    return error_body(error.status, (error.error_code, error.desc, str(error), link), headers)


def unknown(error: Exception, code: int) -> Response:
    """The answer to what has no code of its own: what Starlette raises, or a mistake of ours, which is logged."""
    if isinstance(error, HTTPException):
        said = (code, error.detail.lower(), error.detail, "")
        return error_body(error.status_code, said, error.headers)
    logger.error("A request failed.", exc_info=error)
    return error_body(500, (code, "internal error", type(error).__name__, ""))


def error_body(status: int, said: tuple[int, str, str, str], headers: Mapping[str, str] | None = None) -> Response:
    """`said` is code, what it means, what was wrong, where more is written."""
    code, desc, detail, link = said
    body = {"error_code": code, "desc": desc, "detail": without_password(detail), "link": link}
    return JSONResponse(body, status, {**(headers or {}), "Error-Code": str(code)})
