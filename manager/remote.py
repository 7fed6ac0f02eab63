"""A client of the manager's HTTP API, for commands.

RemoteError(LimError)
├── Unanswered   nothing answers at the address, or something that is no manager
└── Refused      the manager does not do it: its error code, with what it says
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from configs.errors import LimError
from configs.settings import Settings

ANSWER_S = 60.0
"""Longest wait for an answer: a manager looks at a source for 30 s before it says that it cannot."""

PAGE = 1_000
AGAIN_S = 0.5
BUSY = 503

Json = dict[str, Any]
Got = TypeVar("Got")


class RemoteError(LimError):
    """Something that a manager was asked for and did not do."""


class Unanswered(RemoteError):
    """Nothing answers at the address, or something that is no manager."""


class Refused(RemoteError):
    """The manager does not do it; `error_code` and `status` are those of its answer, `task_id` what it is about."""

    def __init__(self, message: str, error_code: int, status: int, task_id: str = "") -> None:
        super().__init__(message)
        self.error_code, self.status, self.task_id = error_code, status, task_id


class Remote:
    """One manager; any of several is as good as another."""

    def __init__(self, origin: str, token: str = "") -> None:
        self.origin = origin.rstrip("/")
        self._token = token
        self._address = urlsplit(self.origin)

    @classmethod
    def of(cls, settings: Settings) -> Remote:
        """That of `manager.origin`, or of this machine.  Raises Unanswered where the settings name no port."""
        http = settings.http
        if not settings.manager.origin and not http.manager_port:
            raise Unanswered(
                "manager.origin: expected where a manager answers, got nothing, and http.manager_port is 0"
            )
        return cls(settings.manager.origin or f"http://127.0.0.1:{http.manager_port}", http.token or http.read_token)

    def call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: object = None) -> Any:
        """The JSON that a route under /1 answers with.  Raises Unanswered, Refused."""
        asked = urlencode({name: value for name, value in (query or {}).items() if value not in ("", None)})
        target = f"{self._address.path}/1{path}" + (f"?{asked}" if asked else "")
        headers = {"Accept": "application/json", "Luna-Request-Id": f"{int(time.time()):010d},{uuid.uuid4()}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, target, None if body is None else json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            status, kind, data = answer.status, answer.getheader("Content-Type", ""), answer.read()
        except (OSError, HTTPException) as error:
            raise Unanswered(
                f"{self.origin}: no manager answers ({str(error) or type(error).__name__}): start one with `lim manager`, "
                "or set manager.origin to the address of one that runs"
            ) from error
        finally:
            connection.close()
        return self._read(status, kind, data)

    def pages(self, path: str, key: str, query: Mapping[str, Any], most: int) -> Iterator[Json]:
        """At most `most` entries of a list, page by page; 0 = all.  Raises as `call`."""
        cursor, left = None, most
        while True:
            page = self.call("GET", path, {**query, "limit": min(left or PAGE, PAGE), "cursor": cursor})
            entries = page[key]
            yield from entries
            left -= len(entries) if most else 0
            cursor = page["next"]
            if not cursor or (most and left <= 0):
                return

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        try:
            return kind(self._address.hostname or "", self._address.port, timeout=ANSWER_S)
        except ValueError as error:  # of the port
            raise Unanswered(f"manager.origin: expected http://host:port, got {self.origin!r}") from error

    def _read(self, status: int, kind: str, data: bytes) -> Any:
        if status == 204:
            return None
        try:
            said = json.loads(data)
        except ValueError:
            said = None
        if said is not None and status < 300:
            return said
        if isinstance(said, dict) and "error_code" in said:
            code, link = int(said["error_code"]), str(said.get("link", ""))
            task_id = link.removeprefix("/1/tasks/") if link.startswith("/1/tasks/") else ""
            message = str(said.get("detail") or said.get("desc"))
            if status in (401, 403):
                message += " (of this command: http.token, or LIM_HTTP__TOKEN)"
            raise Refused(f"{message} [{code}]", code, status, task_id)
        raise Unanswered(
            f"{self.origin}: expected the API of a manager, got status {status} and {kind or 'something'}: is "
            "manager.origin the address of a manager?"
        )


def part(text: str) -> str:
    """A label or an id as one part of a path."""
    return quote(text, safe="")


def patiently(ask: Callable[[], Got], patience_s: float) -> Got:
    """What `ask` gives, tried again for so many seconds while nobody answers or Redis is away: managers take turns.

    Only for what may happen twice.  Raises what the last try does.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except RemoteError as error:
            is_passing = isinstance(error, Unanswered) or (isinstance(error, Refused) and error.status == BUSY)
            if not is_passing or time.monotonic() >= until:
                raise
        time.sleep(AGAIN_S)
