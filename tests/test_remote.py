"""The client of the manager's API, where nothing or something else answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from waiting import wait_until

from configs.settings import Http, Manager, Settings
from manager.embedded.processes import free_port
from manager.remote import Refused, Remote, Unanswered, part, patiently

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def answering(*answers: Answer, port: int = 0) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """A server that gives these answers in turn, the last one for ever; its address, with the requests that came."""
    asked: list[tuple[str, dict[str, str]]] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_json(status: int, value: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def test_where_nobody_answers_the_address_and_what_to_start_are_named() -> None:
    port = free_port()
    remote = Remote.of(Settings(http=Http(manager_port=port)))
    with pytest.raises(Unanswered, match=rf"http://127.0.0.1:{port}: no manager answers .*`lim manager`"):
        remote.call("GET", "/tasks")
    with pytest.raises(Unanswered, match=r"manager.origin: expected where a manager answers"):
        Remote.of(Settings(http=Http(manager_port=0)))
    with pytest.raises(Unanswered, match="expected http://host:port"):
        Remote.of(Settings(manager=Manager(origin="http://host:many"))).call("GET", "/tasks")


def test_what_is_no_manager_is_not_taken_for_one() -> None:
    page = (200, {"Content-Type": "text/html"}, b"<html>")
    with (
        answering(page) as (origin, _),
        pytest.raises(Unanswered, match="API of a manager, got status 200 and text/html"),
    ):
        Remote(origin).call("GET", "/tasks")
    with answering((502, {}, b"")) as (origin, _), pytest.raises(Unanswered, match="got status 502"):
        Remote(origin).call("GET", "/tasks")


def test_a_token_is_not_carried_elsewhere() -> None:
    """A redirection is an answer like any other."""
    with (
        answering(as_json(200, {})) as (elsewhere, stolen),
        answering((307, {"Location": elsewhere}, b"")) as (origin, asked),
    ):
        with pytest.raises(Unanswered, match="got status 307"):
            Remote(origin, "a-token-for-this-one").call("GET", "/tasks")
        assert asked[0][1]["Authorization"] == "Bearer a-token-for-this-one"
        assert stolen == []


def test_what_is_sent() -> None:
    with answering(as_json(200, {})) as (origin, asked):
        Remote(f"{origin}/behind/").call(
            "GET", f"/labels/{part('a/b ü?')}", {"label": "x&y", "cursor": None, "prefix": ""}
        )
    path, headers = asked[0]
    assert path == "/behind/1/labels/a%2Fb%20%C3%BC%3F?label=x%26y"
    assert len(headers["Luna-Request-Id"].partition(",")[0]) == 10
    assert "Authorization" not in headers


def test_pages_are_read_as_far_as_wanted() -> None:
    pages = [as_json(200, {"tasks": [{"n": n}], "next": str(n + 1) if n < 2 else None}) for n in range(3)]
    with answering(*pages) as (origin, asked):
        assert list(Remote(origin).pages("/tasks", "tasks", {"label": "a"}, 0)) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert [path for path, _ in asked] == [
            "/1/tasks?label=a&limit=1000", "/1/tasks?label=a&limit=1000&cursor=1", "/1/tasks?label=a&limit=1000&cursor=2",
        ]  # fmt: skip
    with answering(*pages) as (origin, asked):
        assert list(Remote(origin).pages("/tasks", "tasks", {}, 2)) == [{"n": 0}, {"n": 1}]
        assert [path for path, _ in asked] == ["/1/tasks?limit=2", "/1/tasks?limit=1&cursor=1"]


def test_an_error_of_the_manager_keeps_its_code() -> None:
    said = {"error_code": 26201, "desc": "task exists", "detail": "task t waits", "link": "/1/tasks/t"}
    with (
        answering(as_json(409, said)) as (origin, _),
        pytest.raises(Refused, match=r"task t waits \[26201\]") as refused,
    ):
        Remote(origin).call("GET", "/tasks")
    assert (refused.value.error_code, refused.value.status, refused.value.task_id) == (26201, 409, "t")


def test_patience_outlasts_a_manager_that_is_away_and_no_refusal() -> None:
    port, got = free_port(), []
    remote = Remote(f"http://127.0.0.1:{port}")
    asking = threading.Thread(target=lambda: got.append(patiently(lambda: remote.call("GET", "/tasks"), 20.0)))
    asking.start()
    busy = as_json(503, {"error_code": 26224, "detail": "Redis is away"})
    with answering(busy, as_json(200, {"tasks": []}), port=port) as (_, asked):
        wait_until(lambda: got, timeout_s=20, what="the answer")
        assert (got, len(asked)) == ([{"tasks": []}], 2)
        asking.join()
    with answering(as_json(404, {"error_code": 26220, "detail": "no"})) as (origin, asked):
        with pytest.raises(Refused):
            patiently(lambda: Remote(origin).call("GET", "/tasks/t"), 20.0)
        assert len(asked) == 1
    with pytest.raises(Unanswered):
        patiently(lambda: remote.call("GET", "/tasks"), 0.0)
