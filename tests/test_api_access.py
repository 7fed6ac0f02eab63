"""Who may use the manager's API: two tokens, sessions of browsers, this machine alone where no token is set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from manager_pages import World, shown
from starlette.requests import Request

from configs.errors import LimError
from configs.settings import Settings
from manager.api.allowing import let_in
from manager.embedded.valkey import start_valkey
from manager.errors import ReadOnly, TaskError
from manager.pages.access import Access

TOKEN, READ = "operate-operate-operate", "read-read-read-read"
READS = ("/1/queue", "/1/tasks", "/1/labels", "/1/indexes", "/config", "/metrics", "/plugins", "/1/events")
WRITES = (
    ("POST", "/1/tasks"), ("DELETE", "/1/tasks/x"), ("POST", "/1/tasks/x/retry"), ("POST", "/1/tasks/x/priority"),
    ("DELETE", "/1/indexes/x"), ("POST", "/1/labels/x/head"),
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("access")
    server = start_valkey(folder / "redis", folder / "redis.log")
    try:
        with shown(server.url, folder, token=TOKEN, read_token=READ) as found:
            yield found
    finally:
        server.stop()


def code(world: World, method: str, path: str, token: str = "", **headers: str) -> int:
    """Status × 100,000 + code of an answer's error; the status alone where there is none."""
    sent = headers | ({"Authorization": f"Bearer {token}"} if token else {})
    reply = world.visitor.ask(method, path, "{}" if method == "POST" else None, **sent)
    assert reply.status != 401 or reply.headers["WWW-Authenticate"] == "Bearer"
    return reply.status * 100_000 + int(reply.headers.get("Error-Code", "0"))


def test_nothing_but_health_version_and_document_is_told_without_a_token(world: World) -> None:
    for path in ("/version", "/healthcheck", "/docs", "/docs/spec", "/1/version"):
        assert code(world, "GET", path) == 200 * 100_000, path
    for method, path in (*(("GET", path) for path in READS), *WRITES):
        assert code(world, method, path) == 401 * 100_000 + 26228, path
        assert code(world, method, path, "operate-operate-operatE") == 401 * 100_000 + 26228, path
    for scheme in ("Basic", "bearer2", ""):
        assert code(world, "GET", "/1/queue", Authorization=f"{scheme} {TOKEN}") // 100_000 == 401
    config = world.visitor.get("/config", Authorization=f"Bearer {READ}").json
    assert (config["http"]["token"], config["http"]["read_token"]) == ("***", "***")


def test_the_read_token_reads_only(world: World) -> None:
    for path in READS[:-1]:
        assert code(world, "GET", path, READ) == 200 * 100_000, path
    for method, path in WRITES:
        assert code(world, method, path, READ) == 403 * 100_000 + 26229, path


def test_the_token_operates(world: World) -> None:
    """Whatever it is, it is let in: a task that is not there, a body that lacks a field; wrong tokens lock nobody out."""
    for _ in range(30):
        assert code(world, "GET", "/1/queue", "wrong-wrong-wrong-wrong") // 100_000 == 401
    for method, path in WRITES:
        assert code(world, method, path, TOKEN) // 100_000 in (400, 404), path
    assert code(world, "GET", "/1/queue", TOKEN) == 200 * 100_000


def test_a_session_of_the_pages_reads_and_acts_from_our_pages_alone(world: World) -> None:
    port = world.url.rpartition(":")[2]
    for token, role in ((TOKEN, "write"), (READ, "read")):
        session = world.parts.access.log_in(token)
        cookie = {"Cookie": f"lim_manager_{port}={session}"}
        assert code(world, "GET", "/1/queue", **cookie) == 200 * 100_000
        own = code(world, "DELETE", "/1/tasks/x", **cookie, Sec_Fetch_Site="same-origin")
        assert own == (404 * 100_000 + 26220 if role == "write" else 403 * 100_000 + 26229)
        assert code(world, "DELETE", "/1/tasks/x", **cookie, Sec_Fetch_Site="cross-site") == 403 * 100_000 + 26229
    assert code(world, "GET", "/1/queue", Cookie=f"lim_manager_{port}=write.99999999999.x.forged") // 100_000 == 401


def request(host: str, peer: str, **headers: str) -> Request:
    """One that came from `peer` to the name `host`."""
    sent = [
        (b"host", host.encode()),
        *((name.replace("_", "-").encode(), one.encode()) for name, one in headers.items()),
    ]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": sent, "client": (peer, 1), "server": ("", 5190),
                    "scheme": "http", "query_string": b""})  # fmt: skip


@pytest.mark.parametrize(
    ("host", "peer", "headers", "reads", "writes"),
    [
        ("localhost:5190", "127.0.0.1", {}, None, None),
        ("127.0.0.1:5190", "::1", {}, None, None),
        ("10.0.0.5:5190", "10.0.0.9", {}, None, ReadOnly),  # another machine
        ("evil.example:5190", "127.0.0.1", {}, ReadOnly, ReadOnly),  # a name that was made to lead here
        ("localhost:5190", "127.0.0.1", {"sec-fetch-site": "cross-site"}, None, ReadOnly),
        ("localhost:5190", "127.0.0.1", {"origin": "http://evil.example"}, None, ReadOnly),
        ("localhost:5190", "127.0.0.1", {"origin": "http://localhost:5190"}, None, None),
    ],
)  # fmt: skip
def test_without_a_token_this_machine_acts_and_others_read(
    host: str, peer: str, headers: dict[str, str], reads: type[TaskError] | None, writes: type[TaskError] | None
) -> None:
    asked = request(host, peer, **headers)
    for role, refusal in (("read", reads), ("write", writes)):
        if refusal is None:
            let_in(asked, Access(""), Settings(), role)  # type: ignore[arg-type]
            continue
        with pytest.raises(refusal) as caught:
            let_in(asked, Access(""), Settings(), role)  # type: ignore[arg-type]
        assert caught.value.status == 403


def test_tokens_that_do_not_fit_together() -> None:
    with pytest.raises(LimError, match=r"http.read_token: expected http.token beside it"):
        Access("", READ)
