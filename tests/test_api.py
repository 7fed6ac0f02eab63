"""The manager's API: the original's routes and codes, what it lacks, mistakes that name the field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from manager_pages import World, of_its_own
from pages import Reply

from pipeline.artifact import read_head


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One manager that leads nothing; each test has labels of its own."""
    with of_its_own(tmp_path_factory.mktemp("api")) as found:
        yield found


def save(world: World, label: str, rows: int = 30, seed: int = 0) -> None:
    """A list where source.template has it."""
    (world.folder / "lists").mkdir(exist_ok=True)
    np.save(world.folder / "lists" / f"{label}.npy", np.random.default_rng(seed).normal(size=(rows, 16)))


def get(world: World, path: str, status: int = 200) -> Any:
    return answered(world.visitor.get(path), status)


def post(world: World, path: str, body: object = None, status: int = 200) -> Any:
    return answered(world.visitor.json(path, body), status)


def answered(reply: Reply, status: int) -> Any:
    assert reply.status == status, reply.text
    assert re.fullmatch(r"\d{10},[0-9a-f-]{36}", reply.headers["Luna-Request-Id"])
    body: Any = json.loads(reply.text) if reply.text else None
    if status >= 400:
        assert list(body) == ["error_code", "desc", "detail", "link"]
        assert reply.headers["Error-Code"] == str(body["error_code"])
    return body


def test_what_it_says_of_itself(world: World) -> None:
    for prefix in ("", "/1"):
        assert get(world, f"{prefix}/version")["Version"].keys() == {"api", "major", "minor", "patch"}
        assert get(world, f"{prefix}/healthcheck") == {"status": "ok", "problems": []}
        assert get(world, f"{prefix}/plugins") == {"plugins": []}
        assert get(world, f"{prefix}/config")["manager"]["poll_s"] == 0.2
        assert get(world, f"{prefix}/docs/spec")["openapi"] == "3.1.0"
    text = world.visitor.get("/metrics").text
    assert "lim_manager_redis_up 1.0" in text
    assert "lim_manager_leads 0.0" in text
    assert re.search(r'request_count_total\{route="GET:/version",status_code="200"\} [1-9]', text)


def test_the_calls_of_the_originals_client(world: World) -> None:
    """As the original documents them: a task for a list, the queue, tasks by filter, the stored indexes."""
    save(world, "staff")
    task_id = post(world, "/1/tasks", {"list_id": "staff"}, 201)["task_id"]
    queue = get(world, "/1/queue")
    assert task_id in queue["task_ids"]
    assert queue["count"] >= 1
    said = post(world, "/1/tasks", {"list_id": "staff"}, 409)
    assert (said["error_code"], said["link"]) == (26201, f"/1/tasks/{task_id}")
    assert task_id in said["detail"]
    (task,) = get(world, f"/1/tasks?task_ids={task_id}&statuses=pending,indexing")["tasks"]
    assert (task["task_id"], task["status"], task["label"], task["error"]) == (task_id, "pending", "staff", None)
    created = datetime.fromisoformat(task["create_time"])
    later, earlier = created.replace(year=created.year + 1), created.replace(year=created.year - 1)
    for query, count in (
        (f"gte={earlier.isoformat()}", 1),
        (f"gte={later.isoformat()}", 0),
        (f"lt={earlier.isoformat()}", 0),
    ):
        found = get(world, f"/1/tasks?task_ids={task_id}&start_time__{query.replace('+', '%2B')}")
        assert len(found["tasks"]) == count, query
    assert get(world, f"/1/tasks?task_ids={task_id}&indexer=nobody")["tasks"] == []
    world.publish("known", "known-1")
    assert "known-1" in [one["index_id"] for one in get(world, "/1/indexes?prefix=known")["indexes"]]
    (newest,) = get(world, "/1/indexes/labels?prefix=known")["indexes"]
    assert (newest["label"], newest["descriptor_version"]) == ("known", "62")
    assert get(world, "/1/indexes/nothing", 404)["error_code"] == 26204


def test_the_newest_content_is_not_indexed_twice(world: World) -> None:
    save(world, "same")
    task_id = post(world, "/1/tasks", {"list_id": "same"}, 201)["task_id"]
    while world.claim().task_id != task_id:  # those of other tests go first
        pass
    assert get(world, f"/1/tasks/{task_id}")["progress"]["stage"] == ""
    world.do(world.parts.tasks.succeed(task_id, 1, 30, "digest"))
    said = post(world, "/1/tasks", {"list_id": "same"}, 409)
    assert (said["error_code"], said["link"]) == (26202, f"/1/tasks/{task_id}")
    again = post(world, "/1/tasks", {"list_id": "same", "again": True, "task_id": "chosen"}, 201)
    assert again == {"task_id": "chosen"}
    assert post(world, "/1/tasks", {"list_id": "same", "again": True, "task_id": "chosen"}, 201) == again
    save(world, "same", seed=1)
    assert post(world, "/1/tasks", {"list_id": "same", "task_id": "chosen"}, 409)["error_code"] == 26225
    assert world.visitor.ask("DELETE", "/1/tasks/chosen").json["status"] == "cancelled"


def test_a_task_is_cancelled_retried_put_first(world: World) -> None:
    save(world, "turns")
    sent = {"Luna-Request-Id": "1700000000,mine"}
    body = {
        "list_id": "turns",
        "priority": 1,
        "options": {"build.recipe": "scan", "build.force": True, "build.seed": 3},
    }
    reply = world.visitor.json("/1/tasks", body, **sent)
    task_id = reply.json["task_id"]
    assert (reply.status, reply.headers["Location"]) == (201, f"/1/tasks/{task_id}")
    assert reply.headers["Luna-Request-Id"] == "1700000000,mine"
    task = get(world, f"/1/tasks/{task_id}")
    assert (task["request_id"], task["rows"], task["submitted_by"]) == ("1700000000,mine", 30, "api")
    assert task["options"] == {"build.recipe": "scan", "build.force": "true", "build.seed": "3"}
    assert post(world, f"/1/tasks/{task_id}/priority", {"priority": 7.0})["priority"] == 7
    assert get(world, "/1/queue")["task_ids"][0] == task_id
    ended = answered(world.visitor.ask("DELETE", f"/1/tasks/{task_id}"), 200)
    assert (ended["status"], ended["error"]["error_code"]) == ("cancelled", 26106)
    assert post(world, f"/1/tasks/{task_id}/priority", {"priority": 7}, 409)["error_code"] == 26221
    assert post(world, f"/1/tasks/{task_id}/retry")["status"] == "pending"
    world.visitor.ask("DELETE", f"/1/tasks/{task_id}")
    assert get(world, "/1/tasks/nobody", 404)["error_code"] == 26220


def test_versions_are_shown_rolled_removed(world: World) -> None:
    for version in ("v1", "v2", "v3"):
        world.publish("a/b c", version)
    label = get(world, "/1/labels/a%2Fb%20c")
    assert (label["index_id"], {one["index_id"] for one in label["versions"]}) == ("v3", {"v1", "v2", "v3"})
    assert label["versions"][0]["figures"]["rows"] == 20
    assert post(world, "/1/labels/a%2Fb%20c/head", {"index_id": "v1"})["index_id"] == "v1"
    assert read_head(world.store, "a/b c")[0].index_id == "v1"
    assert post(world, "/1/labels/a%2Fb%20c/head", {"index_id": "v2"})["index_id"] == "v2"
    assert post(world, "/1/labels/a%2Fb%20c/head", {"index_id": "v9"}, 404)["error_code"] == 26204
    assert answered(world.visitor.ask("DELETE", "/1/indexes/v2"), 409)["error_code"] == 26227
    assert answered(world.visitor.ask("DELETE", "/1/indexes/v1"), 204) is None
    assert get(world, "/1/indexes/v1", 404)["error_code"] == 26204
    assert get(world, "/1/indexes/v3")["figures"]["recipe"]
    assert get(world, "/1/labels/nobody", 404)["error_code"] == 26226
    endless = "%D1%8F" * 100  # whose key no file system could name
    assert "at most 200 characters once percent-encoded" in get(world, f"/1/labels/{endless}", 404)["detail"]
    assert post(world, f"/1/labels/{endless}/head", {"index_id": "v1"}, 404)["error_code"] == 26226
    assert get(world, f"/1/indexes/{'x' * 101}", 404)["error_code"] == 26204
    assert get(world, f"/1/indexes/v3?label={endless}", 404)["error_code"] == 26204


def test_lists_come_in_pages(world: World) -> None:
    for number in range(5):
        world.publish(f"page-{number}", f"index-{number}")
        world.submit(f"page-{number}")
    for path, name, key in (
        ("/1/labels?prefix=page-", "labels", "label"), ("/1/indexes?prefix=page-", "indexes", "index_id"),
        ("/1/indexes/labels?prefix=page-", "indexes", "label"), ("/1/tasks?statuses=pending", "tasks", "task_id"),
    ):  # fmt: skip
        whole = [one[key] for one in get(world, path)[name]]
        paged: list[str] = []
        cursor = ""
        while cursor is not None:
            page = get(world, f"{path}&limit=2" + (f"&cursor={cursor}" if cursor else ""))
            assert len(page[name]) <= 2
            paged, cursor = paged + [one[key] for one in page[name]], page["next"]
        assert paged == whole, path
        assert len(whole) >= 5, path


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/1/tasks?colour=red", None, "colour: expected task_ids, statuses"),
        ("GET", "/1/tasks?statuses=done", None, "statuses: expected any of pending, indexing, .* got 'done'"),
        ("GET", "/1/tasks?start_time__lt=yesterday", None, "start_time__lt: expected a time of RFC 3339 .* got 'yesterday'"),
        ("GET", "/1/tasks?limit=0", None, "limit: expected a whole number from 1 to 1,000, got '0'"),
        ("GET", "/1/tasks?limit=1&limit=2", None, "limit: expected it once, got it 2 times"),
        ("GET", "/1/tasks?cursor=x", None, "cursor: expected the `next` of a page before, got 'x'"),
        ("GET", "/1/labels?cursor=x", None, "cursor: expected"),
        ("POST", "/1/tasks", "{", "body: expected JSON"),
        ("POST", "/1/tasks", "[" * 50_000, "body: expected JSON"),
        ("POST", "/1/tasks", "[]", "body: expected a JSON object with list_id, .* got list"),
        ("POST", "/1/tasks", '"' + "x" * 70_000 + '"', "body: expected at most 65,536 bytes"),
        ("POST", "/1/tasks", '{"lists": 1}', "list_id: expected text, got nothing; lists: expected one of .* an unknown field"),
        ("POST", "/1/tasks", '{"list_id": 1, "again": "yes"}', "list_id: expected text, got int; again: expected true or false"),
        ("POST", "/1/tasks", '{"list_id": "\\ud800"}', "label: expected 1 to 200 printable characters"),
        ("POST", "/1/tasks", '{"list_id": "../x"}', "list_id: expected a name without /"),
        ("POST", "/1/tasks", '{"list_id": "a", "options": {"storage.bucket": "x"}}', r"options: expected settings of build\.\*"),
        ("POST", "/1/tasks", '{"list_id": "a", "options": {"build.recipe": "x"}}', "options: build.recipe: expected one of"),
        ("POST", "/1/tasks", '{"list_id": "a", "options": {"build.nothing": 1}}', "options: build.nothing: expected the name"),
        ("POST", "/1/tasks", '{"list_id": "a", "task_id": "a b"}', "task_id: expected up to 100 letters"),
        ("POST", "/1/tasks", '{"list_id": "a", "submitted_by": "\\n"}', "submitted_by: expected"),
        ("POST", "/1/labels/x/head", "{}", "index_id: expected text, got nothing"),
        ("POST", "/1/labels/x/head", '{"index_id": "a/b"}', "index_id: expected up to 100 letters"),
        ("POST", "/1/tasks", json.dumps({"list_id": "я" * 100}), "label: expected at most 200 characters once"),
    ],
)  # fmt: skip
def test_mistakes_name_the_field(world: World, method: str, path: str, body: str | None, said: str) -> None:
    reply = world.visitor.ask(method, path, body)
    found = answered(reply, 400)
    assert (found["error_code"], found["desc"], found["link"]) == (26223, "bad request", "/docs#error-26223")
    assert re.search(said, found["detail"]), found["detail"]


def test_sources_that_cannot_be_indexed(world: World) -> None:
    assert post(world, "/1/tasks", {"list_id": "nowhere"}, 422)["error_code"] == 26105
    secret = post(world, "/1/tasks", {"list_id": "x", "source": "foo://user:hunter2@host/x"}, 422)
    assert "hunter2" not in secret["detail"]
    (world.folder / "broken.npy").write_bytes(b"nothing of the kind")
    said = post(world, "/1/tasks", {"list_id": "x", "source": str(world.folder / "broken.npy")}, 422)
    assert (said["error_code"], said["desc"]) == (26223, "bad request")
    assert said["detail"].startswith("source: ")
    save(world, "fine")
    said = post(world, "/1/tasks", {"list_id": "fine", "probes": "/nowhere"}, 422)
    assert said["detail"].startswith("probes: ")


def test_routes_and_methods_that_there_are_not(world: World) -> None:
    assert get(world, "/1/nowhere", 404)["error_code"] == 26230
    reply = world.visitor.ask("PUT", "/1/tasks/x")
    assert answered(reply, 405)["error_code"] == 26231
    assert {one.strip() for one in reply.headers["Allow"].split(",")} == {"GET", "HEAD", "DELETE"}
    assert world.visitor.get("/1/version", **{"Luna-Request-Id": "x" * 200}).headers["Luna-Request-Id"] != "x" * 200


def test_the_page_shows_every_operation_and_code(world: World) -> None:
    page = world.visitor.get("/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path, methods in get(world, "/docs/spec")["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code></h2>" in page.text
    for code in (26105, 26201, 26202, 26204, 26223, 26228):
        assert f'id="error-{code}"' in page.text
    ids = re.findall(r'id="([^"]*)"', page.text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page.text)) <= set(ids)
    assert "<script" not in page.text
