"""`lim up`: what a newcomer does with it, and what happens when it ends or something of it dies."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import redis
from marked import Marked, lim
from waiting import wait_until

from configs.load import load

pytestmark = pytest.mark.timeout(180)

TOP = 10


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def started(home: Path, *arguments: str, **environ: str) -> Marked:
    """A running `lim up`."""
    run = Marked((*arguments, "up", "--workers", "1") if arguments else ("up", "--workers", "1"), home, environ).start()
    run.wait_said("next, in a second terminal")
    return run


def up_file(home: Path) -> Path:
    return home / ".local" / "state" / "lim" / "up.toml"


def redis_of(home: Path) -> str:
    return load(up_file(home)).settings.redis.url


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marked]:
    """One `lim up` for the tests that leave it alone."""
    run = started(tmp_path_factory.mktemp("home"), "--set", "matcher.batch=64")
    yield run
    run.signal(signal.SIGINT)
    assert run.finish() == 0, run.said
    run.wait_nothing_left()
    assert not up_file(run.home).exists()
    run.end()


def test_addresses_are_printed_and_answer(running: Marked) -> None:
    shown = dict(line.split(": ", 1) for line in running.said.splitlines() if re.match(r"[A-Za-z ]+: ", line))
    assert set(shown) == {"Redis", "bucket", "manager", "Dask dashboard", "matcher", "logs", "settings"}
    with redis.Redis.from_url(shown["Redis"]) as client:
        assert client.ping()
    for name in ("manager", "Dask dashboard", "matcher"):
        with urllib.request.urlopen(shown[name], timeout=10) as reply:  # noqa: S310 - loopback
            assert reply.status == 200
    assert Path(shown["bucket"]).is_dir()
    assert shown["settings"] == str(up_file(running.home))


def test_the_settings_file_is_private_and_names_its_process(running: Marked) -> None:
    file = up_file(running.home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert running.process is not None
    assert file.read_text().splitlines()[0] == f"# pid {running.process.pid}"


def test_other_commands_find_it(running: Marked) -> None:
    shown = json.loads(lim(running.home, "settings", "--json"))
    assert shown["redis.url"]["value"] == redis_of(running.home)
    assert str(up_file(running.home)) in shown["redis.url"]["source"]


def test_settings_in_force_reach_the_matcher(running: Marked) -> None:
    port = load(up_file(running.home)).settings.http.matcher_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=10) as reply:
        assert json.load(reply)["matcher"]["batch"] == 64


def test_a_second_one_says_that_one_runs(running: Marked) -> None:
    said = lim(running.home, "up", code=1)
    assert f"a stack is running already, its settings are in {up_file(running.home)}" in said
    # another place for the settings, but the same data
    said = lim(running.home, "up", code=1, XDG_STATE_HOME=str(running.home / "elsewhere"))
    assert running.process is not None
    assert f"a stack (process {running.process.pid}) runs in it already" in said


def test_real_faces_through_redis_equal_exact_search(running: Marked, shared_data: Path) -> None:
    """Every probe: similarities to 1e-3, ids except where similarities differ by less."""
    home = running.home
    with np.load(shared_data / "faces.npz") as arrays:
        rows = arrays["descriptors"].astype(np.float32)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    np.save(home / "probes.npy", rows)
    lim(home, "build", str(shared_data / "faces.npz"), "--label", "faces", "--recipe", "exact", timeout_s=120)
    wait_served(home, "faces")
    lim(home, "match", "--label", "faces", "--probes", "probes.npy", "--out", "answers.parquet")
    table = pq.read_table(home / "answers.parquet")
    assert table.column_names == ["probe", "rank", "id", "similarity"]
    assert table["probe"].to_pylist() == [number for number in range(len(rows)) for _ in range(TOP)]
    assert table["rank"].to_pylist() == list(range(1, TOP + 1)) * len(rows)
    answered = np.array(table["similarity"]).reshape(-1, TOP)
    numbers = np.array([int(one) for one in table["id"].to_pylist()]).reshape(-1, TOP)
    exact = rows @ rows.T
    order = np.argsort(-exact, axis=1, kind="stable")[:, :TOP]
    best = np.take_along_axis(exact, order, axis=1)
    np.testing.assert_allclose(answered, best, atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(exact, numbers, axis=1), best, atol=1e-3)
    assert (numbers == order).mean() > 0.99
    assert all(len(set(row)) == TOP for row in numbers.tolist())


def wait_served(home: Path, label: str) -> None:
    """Until the matcher has seen it: it looks every two seconds."""
    port = load(up_file(home)).settings.http.matcher_port

    def served() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/indexes", timeout=10) as reply:
            return label in {one["label"] for one in json.load(reply)["indexes"]}

    wait_until(served, timeout_s=20, what=f"{label} being served")


@pytest.mark.parametrize("s3", [False, True], ids=["folder", "s3"])
def test_data_survive(home: Path, s3: bool) -> None:
    """SIGTERM ends it in order; the next one serves what this one built, and Redis remembers."""
    np.save(home / "mine.npy", np.random.default_rng(1).standard_normal((300, 32)).astype(np.float32))
    options = ("--s3",) if s3 else ()
    first = Marked(("up", "--workers", "1", *options), home).start()
    try:
        first.wait_said("next, in a second terminal")
        lim(home, "build", "mine.npy", "--label", "mine", "--recipe", "exact")
        with redis.Redis.from_url(redis_of(home)) as client:
            client.set("kept", "yes")
        first.signal(signal.SIGTERM)
        assert first.finish(30) == 0, first.said
        first.wait_nothing_left()
        assert not up_file(home).exists()
    finally:
        first.end()
    second = Marked(("up", "--workers", "1", *options), home).start()
    try:
        second.wait_said("next, in a second terminal")
        with redis.Redis.from_url(redis_of(home)) as client:
            assert client.get("kept") == b"yes"
        wait_served(home, "mine")
        lim(home, "match", "--label", "mine", "--probes", "mine.npy", "--out", "answers.csv")
        ids = [line.split(",")[2] for line in (home / "answers.csv").read_text().splitlines()[1::TOP]]
        assert ids == [str(number) for number in range(300)]
        second.signal(signal.SIGINT)
        assert second.finish(30) == 0, second.said
        second.wait_nothing_left()
    finally:
        second.end()


@pytest.mark.parametrize("name", ["valkey-server", "lim matcher", "lim cluster"])
def test_a_server_that_dies_ends_the_stack_and_says_which(home: Path, name: str) -> None:
    run = started(home)
    try:
        victims = [line for line in run.left() if name.replace("lim ", "configs.cli ") in line]
        assert len(victims) == 1
        os.kill(int(victims[0].split()[0]), signal.SIGKILL)
        assert run.finish(30) == 1
        assert re.search(
            rf"error: {name.split()[-1][:6]}\S*: expected a running process|error: dask: expected", run.said
        )
        run.wait_nothing_left()
        assert not up_file(home).exists()
    finally:
        run.end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_it(home: Path, number: signal.Signals) -> None:
    """Killed, or its terminal closed; a new one starts at once on the same data."""
    run = started(home)
    try:
        assert len(run.left()) > 4
        run.signal(number)
        run.finish(30)
        run.wait_nothing_left()
        assert up_file(home).exists() == (number == signal.SIGKILL)
    finally:
        run.end()
    again = started(home)
    again.signal(signal.SIGINT)
    try:
        assert again.finish(30) == 0, again.said
        again.wait_nothing_left()
    finally:
        again.end()


def test_ctrl_c_while_it_starts(home: Path) -> None:
    run = Marked(("up", "--workers", "1"), home).start()
    try:
        wait_until(lambda: any("valkey-server" in line for line in run.left()), timeout_s=20, what="the first server")
        run.signal(signal.SIGINT)
        assert run.finish(30) == 130, run.said
        run.wait_nothing_left()
        assert not up_file(home).exists()
        assert "Traceback" not in run.said
    finally:
        run.end()


def test_a_lim_toml_that_goes_first_is_pointed_out(home: Path) -> None:
    (home / "lim.toml").write_text("[client]\nin_flight = 7\n")
    run = started(home)
    try:
        assert "note: commands started here read lim.toml" in run.said
        assert load(up_file(home)).settings.client.in_flight == 7
        assert psutil.pid_exists(int(up_file(home).read_text().split()[2]))
        run.signal(signal.SIGINT)
        assert run.finish(30) == 0, run.said
    finally:
        run.end()


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    (home / "file").write_text("")
    said = lim(home, "up", "--folder", "file/inside", code=1)
    assert "error: " in said
    assert "Traceback" not in said
