"""The HTTP of a manager: API and pages on one port."""

from __future__ import annotations

from starlette.types import ASGIApp

from manager.api import routes as api
from manager.pages import routes as pages
from manager.parts import Parts


def application(parts: Parts) -> ASGIApp:
    """Everything that answers, over the parts of one manager."""
    return api.application(parts, pages.routes(parts))
