"""`lim indexer`: the original's routes, one build at a time, deaths that it survives."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from nodes import Indexer, Nodes, workers_of
from openapi_spec_validator import validate
from waiting import wait_until

from configs.errors import LimError
from configs.settings import Http, Settings
from pipeline.artifact import open_store, read_head
from pipeline.generate.faces import Generator
from pipeline.indexer.command import serve
from pipeline.indexer.errors import IndexerError
from pipeline.indexer.orders import IndexList
from pipeline.order import Order

ROWS = 6_000


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """An indexer without a cluster, with two lists."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "lists").mkdir()
    np.save(folder / "lists" / "staff.npy", Generator("mixture", 3).chunk(0, ROWS)[0])
    np.save(folder / "lists" / "nobody.npy", np.zeros((0, 512), np.float32))
    found = Nodes(folder, {"LIM_DASK__WORKERS": "1", "LIM_STORAGE__SECRET_KEY": "hunter2hunter2"})
    found.start_indexer("--scheduler", "")
    yield found
    for one in found.indexers:
        assert one.child.stop(timeout_s=30) == 0, one.child.tail()
        assert "Traceback" not in one.child.log.read_text(), one.child.tail()


@pytest.fixture
def indexer(alone: Nodes) -> Indexer:
    return alone.indexers[0]


def order(index_id: str, list_id: str = "staff") -> dict[str, object]:
    return {"list_id": list_id, "index_id": index_id, "ef_construction": 200}


def test_it_answers_the_routes_of_the_original(indexer: Indexer) -> None:
    assert indexer.ask("/version")[1]["Version"].keys() == {"api", "major", "minor", "patch"}
    assert indexer.ask("/1/state")[1]["state"] == "idle"
    assert indexer.ask("/healthcheck")[1] == {"status": "ok", "problems": []}
    assert indexer.ask("/plugins")[1] == {"plugins": []}
    status, config, _ = indexer.ask("/config")
    assert (status, config["storage"]["secret_key"], config["build"]["recipe"]) == (200, "***", "scan")
    assert "hunter2" not in str(config)
    spec = indexer.ask("/docs/spec")[1]
    validate(spec)
    for path, methods in spec["paths"].items():
        assert indexer.ask(path, None if "get" in methods else {})[0] not in (0, 404, 405), path


def test_requests_carry_an_id_and_are_counted(indexer: Indexer) -> None:
    assert re.fullmatch(r"\d{10},[0-9a-f-]{36}", indexer.ask("/state")[2]["luna-request-id"])
    assert (
        indexer.ask("/state", headers={"Luna-Request-Id": "1700000000,mine"})[2]["luna-request-id"] == "1700000000,mine"
    )
    status, body, headers = indexer.ask("/nowhere", headers={"Luna-Request-Id": "x"})
    assert (status, body["error_code"], headers["luna-request-id"]) == (404, 26100, "x")
    text = indexer.ask("/metrics")[1]
    assert re.search(r'request_count_total\{route="GET:/state",status_code="200"\} [1-9]', text)
    assert 'errors_count_total{error_code="26100",route="GET:other"}' in text
    assert "requests_bucket" in text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "expected JSON"),
        ([], "expected a JSON object, got list"),
        ({"index_id": "a"}, "list_id: label: expected 1 to 200 printable characters"),
        ({"list_id": "staff"}, "index_id: expected up to 100 letters"),
        ({"list_id": "staff", "index_id": "../a"}, "index_id"),
        ({"list_id": "../staff", "index_id": "a"}, "list_id: expected a name without /"),
        ({"list_id": "*", "index_id": "a"}, "list_id: expected a name without /"),
        ({"list_id": "staff", "index_id": "a", "ef_construction": "x"}, "ef_construction: expected a whole number"),
        (b"x" * 70_000, "expected at most 65,536 bytes"),
    ],
)
def test_bad_orders_are_refused(indexer: Indexer, body: object, said: str) -> None:
    status, answer, _ = indexer.ask("/index_list", body)
    assert (status, answer["error_code"], answer["desc"]) == (400, 26110, "bad request")
    assert said in answer["detail"]


@pytest.mark.timeout(120)
def test_a_list_is_built_once_stopped_and_continued(alone: Nodes, indexer: Indexer) -> None:
    """26101 while it runs, 26106 when stopped, 26104 when killed; then published under the asked id, which is 26108."""
    assert indexer.ask("/stop", {})[:2] == (200, {})  # nothing runs
    assert indexer.ask("/index_list", order("first"))[:2] == (200, {})
    assert (indexer.state()["state"], indexer.state()["index_id"]) == ("indexing", "first")
    assert indexer.ask("/index_list", order("second"))[1]["error_code"] == 26101
    wait_until(lambda: alone.done("extract"), timeout_s=30, what="a finished item")
    assert indexer.ask("/stop", {})[:2] == (200, {})
    assert indexer.state()["last"]["error_code"] == 26106
    assert indexer.ask("/index_list", order("first"))[0] == 200
    wait_until(lambda: workers_of(indexer.child.pid) and alone.done("sample"), timeout_s=30, what="the sample")
    (build,) = workers_of(indexer.child.pid)
    inside = build.children(recursive=True)
    build.send_signal(signal.SIGSEGV)
    ended = indexer.ended()
    assert (ended["error_code"], ended["desc"]) == (26104, "build process died")
    assert "signal 11" in ended["detail"]
    psutil.wait_procs(inside, timeout=10)
    assert not [one for one in inside if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    extracted = {file: file.stat().st_mtime_ns for file in alone.bucket.glob("work/*/done/extract/*")}
    assert len(extracted) == ROWS / 500
    assert indexer.ask("/index_list", order("first"))[0] == 200
    ended = indexer.ended()
    assert (ended["error_code"], ended["status"]) == (0, "success"), ended
    assert read_head(open_store(str(alone.bucket)), "staff")[0].index_id == "first"
    assert indexer.ask("/index_list", order("first"))[1]["error_code"] == 26108
    assert 'lim_indexer_builds_total{error_code="0"} 1.0' in indexer.ask("/metrics")[1]


@pytest.mark.timeout(120)
def test_an_empty_list(indexer: Indexer) -> None:
    assert indexer.ask("/index_list", order("x", "nobody"))[0] == 200
    ended = indexer.ended()
    assert (ended["error_code"], ended["desc"]) == (26105, "list is empty"), ended


@pytest.mark.timeout(120)
def test_memory_ends_the_build_and_sigterm_the_service(alone: Nodes) -> None:
    """A build above its limit is 26109; the service goes on, until it is told to end, with a build running."""
    limited = {"LIM_INDEXER__BUILD_MEMORY_BYTES": str(150 << 20), "LIM_INDEXER__SHUTDOWN_S": "3"}
    indexer = alone.start_indexer("--scheduler", "", **limited)
    assert indexer.ask("/index_list", order("third"))[0] == 200
    ended = indexer.ended()
    assert (ended["error_code"], ended["desc"]) == (26109, "build was killed for lack of memory")
    assert "indexer.build_memory_bytes allows 157,286,400" in ended["detail"]
    assert indexer.ask("/index_list", order("fourth"))[0] == 200
    os.kill(indexer.child.pid, signal.SIGTERM)
    assert indexer.child.process is not None
    assert indexer.child.process.wait(timeout=30) == 0, indexer.child.tail()


def test_only_a_template_says_where_a_list_is() -> None:
    wanted = IndexList.read(order("a"))
    assert wanted.order("s3://lists/{label}/*.parquet") == Order("s3://lists/staff/*.parquet", "staff", index_id="a")
    with pytest.raises(IndexerError, match=r"source.template: expected where .* got '': set it") as caught:
        wanted.order("")
    assert (caught.value.error_code, caught.value.status) == (26100, 500)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            LimError, match=rf"http.indexer_port: expected to listen on 127.0.0.1:{port}, got: .*in use"
        ):
            asyncio.run(serve(Settings(http=Http(indexer_port=port))))
