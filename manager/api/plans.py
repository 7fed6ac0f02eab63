"""What the planner found when it looked last, over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from configs.hiding import without_password
from manager.api.reading import Query
from manager.api.shown import moment
from manager.parts import Parts
from manager.planner.rounds import last_round


async def last(request: Request, parts: Parts) -> Response:
    """The last look at all lists, whichever manager took it; null where nothing was ever planned."""
    Query.of(request)
    found = await last_round(parts.redis)
    return JSONResponse({"plan": None if found is None else plan_json(found)})


def plan_json(found: dict[str, Any]) -> dict[str, Any]:
    """A round as JSON; passwords in URLs are hidden."""
    texts = {
        name: {label: without_password(text) for label, text in found[name].items()} for name in ("resting", "errors")
    }
    return {
        "begin_time": moment(found["began"]),
        "end_time": moment(found["ended"]),
        "next_time": moment(found["next"]),
        "manager": found["by"],
        **{name: found[name] for name in ("lists", "opened", "due", "counts", "submitted", "waiting")},
        **texts,
        "problem": without_password(found["problem"]),
    }
