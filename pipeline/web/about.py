"""What every service says about itself."""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import version as installed
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from configs.hiding import visible
from configs.settings import Settings


async def version(_: Request) -> Response:
    """The version, in the original's form."""
    major, minor, patch = (int(part) for part in installed("lim").split(".")[:3])
    return JSONResponse({"Version": {"api": 1, "major": major, "minor": minor, "patch": patch}})


async def plugins(_: Request) -> Response:
    """None: recipes and sources are part of the program."""
    return JSONResponse({"plugins": []})


def health(problems: list[str]) -> Response:
    """200 when it is of full use; 503 with what is missing."""
    return JSONResponse({"status": "fail" if problems else "ok", "problems": problems}, 503 if problems else 200)


def config(settings: Settings) -> Response:
    """The effective settings, secrets hidden."""
    shown: dict[str, Any] = {section.name: visible(getattr(settings, section.name)) for section in fields(settings)}
    return JSONResponse(shown)
