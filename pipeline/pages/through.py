"""Hands an order to the manager, which queues it beside everybody else's."""

from __future__ import annotations

import json
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest, HTTPResponse

from pipeline.order import from_anywhere
from pipeline.pages.orders import Ordered, Refused, options_of

ANSWER_S = 60.0
"""Longest wait for the manager, which looks at the source as well."""


async def hand_over(ordered: Ordered, manager: str, token: str) -> str:
    """The id of the task that the order becomes.

    Raises Refused with the manager's own words, or where none answers at the address of manager.origin.
    """
    request = HTTPRequest(
        f"{manager.rstrip('/')}/1/tasks", "POST", _headers(token), json.dumps(_body(ordered)),
        request_timeout=ANSWER_S, follow_redirects=False,
    )  # fmt: skip
    try:
        answer = await AsyncHTTPClient().fetch(request, raise_error=False)
    except (OSError, HTTPError) as error:
        raise _away(manager, error) from error
    if answer.code == 599:  # tornado's own, for what was no answer
        raise _away(manager, answer.error)
    said = _said(answer, manager)
    if answer.code != 201:
        raise Refused({"manager": f"manager: {said.get('desc', answer.reason)}: {said.get('detail', '')}"})
    return str(said["task_id"])


def _headers(token: str) -> dict[str, str]:
    found = {"Content-Type": "application/json"}
    return {**found, "Authorization": f"Bearer {token}"} if token else found


def _body(ordered: Ordered) -> dict[str, Any]:
    given, order = ordered.fields, ordered.order
    texts = {f"build.{name}": given[name] for name in ("recipe", "shards") if given[name]}
    return {
        "list_id": order.label, "source": from_anywhere(order.source), "probes": from_anywhere(order.probes),
        "options": texts | options_of(given["options"]), "submitted_by": "LIM builds",
    }  # fmt: skip


def _said(answer: HTTPResponse, manager: str) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(
            {
                "manager": f"manager.origin: expected a manager at {manager}, got an answer of something else ({answer.code})"
            }
        )
    return found


def _away(manager: str, error: object) -> Refused:
    return Refused(
        {
            "manager": f"manager.origin: nothing answers at {manager} ({error}): start `lim manager`, or unset it to build without"
        }
    )
