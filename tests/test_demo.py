"""`lim demo`: its figures, its checks, its refusals; and that Ctrl-C at any moment leaves nothing behind."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marked import Marked, lim

from manager.demo.check import Gallery, compare
from manager.demo.plan import Wishes

pytestmark = pytest.mark.timeout(180)

SHAPE: dict[str, Any] = {
    "rows": int, "dim": int, "recipe": str,
    "build": {"seconds": float, "rows_per_s": float, "stages": dict},
    "search": {"probes_per_s": float, "p50_ms": float, "p99_ms": float, "direct_per_s": float, "overhead_us": float},
    "quality": {"recall_at_10": float, "rank1_miss": float, "added_fnir": float, "fpir": float, "threshold": float},
    "memory": {"bytes_per_vector": float},
}  # fmt: skip
STAGES = {
    "partition", "extract", "census", "sample", "plan", "train", "encode", "assemble", "probes", "truth", "measure",
    "evaluate", "publish",
}  # fmt: skip


def check_shape(found: Any, shape: Any) -> None:
    """Exactly these fields, of these types."""
    if isinstance(shape, dict):
        assert set(found) == set(shape)
        for name, kind in shape.items():
            check_shape(found[name], kind)
    else:
        assert type(found) is shape, (found, shape)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Marked, dict[str, Any]]]:
    """One whole run, as `make demo` does it, on fewer rows."""
    home = tmp_path_factory.mktemp("home")
    options = ("--rows", "6000", "--probes", "1500", "--check", "400", "--recipe", "scan", "--json", "figures.json")
    run = Marked(("--set", "quality.added_fnir=0.01", "demo", *options), home).start()
    assert run.finish(120) == 0, run.said
    yield run, json.loads((home / "figures.json").read_text())
    run.end()


def test_figures_have_the_promised_shape(demo: tuple[Marked, dict[str, Any]]) -> None:
    check_shape(demo[1], SHAPE)


def test_figures_make_sense(demo: tuple[Marked, dict[str, Any]]) -> None:
    found = demo[1]
    build, search, quality = found["build"], found["search"], found["quality"]
    assert (found["rows"], found["dim"], found["recipe"]) == (6_000, 512, "scan")
    assert set(build["stages"]) == STAGES
    assert sum(build["stages"].values()) <= build["seconds"]
    assert build["rows_per_s"] == pytest.approx(found["rows"] / build["seconds"])
    assert 0 < search["p50_ms"] <= search["p99_ms"] < 10_000
    assert 0 < search["probes_per_s"] < search["direct_per_s"]
    assert 10 < search["overhead_us"] < 2_000
    assert 0.9 < quality["recall_at_10"] <= 1.0
    assert 0 <= quality["added_fnir"] <= 0.01
    assert 0 < quality["rank1_miss"] < 0.2
    assert quality["fpir"] == 0.003
    assert 0.3 < quality["threshold"] < 0.8
    # 80 bytes of codes and what is kept per row: far below the 2,048 of float32
    assert 16 <= found["memory"]["bytes_per_vector"] < 400


def test_the_table_says_what_was_promised(demo: tuple[Marked, dict[str, Any]]) -> None:
    run, found = demo
    table = run.out.read_text()
    for words in (
        *STAGES, "rows/s", "bytes per vector", "probes through Redis", "no errors", "p50", "p99", "recall@10", "rank-1 miss",
        "exact search misses at FPIR 0.003", "the index adds", "CPU outside the search", "verdict",
    ):  # fmt: skip
        assert words in table
    assert f"{found['quality']['recall_at_10']:.4f}" in table
    assert "while the demo runs: pages of the manager http://127.0.0.1:" in run.err.read_text()


def test_the_report_and_the_logs_stay_and_nothing_else(demo: tuple[Marked, dict[str, Any]]) -> None:
    run = demo[0]
    run.wait_nothing_left()
    assert list(run.temporary.iterdir()) == []
    assert "<html" in (run.home / "lim-demo" / "report.html").read_text()
    logs = {path.name for path in (run.home / "lim-demo" / "logs").iterdir()}
    assert logs >= {"valkey.log", "dask.log", "manager.log", "matcher.log"}
    assert "report: lim-demo/report.html" in run.said
    assert not (run.home / ".local" / "state" / "lim" / "up.toml").exists()


def test_real_faces_on_a_real_s3_server(tmp_path: Path, shared_data: Path) -> None:
    """Recall 1 of exact search for every row of the file, each without itself."""
    source = str(shared_data / "faces.npz")
    options = ("--recipe", "exact", "--probes", "6598", "--check", "6598", "--s3", "--json", "figures.json")
    said = lim(tmp_path, "demo", "--source", source, *options, timeout_s=150)
    found = json.loads((tmp_path / "figures.json").read_text())
    check_shape(found, SHAPE)
    assert (found["rows"], found["dim"], found["recipe"]) == (6_598, 512, "exact")
    assert found["quality"]["recall_at_10"] == 1.0
    assert found["quality"]["added_fnir"] == 0.0
    assert "6,598 answered, no errors" in said


def test_photos(tmp_path: Path, shared_data: Path) -> None:
    options = ("--images", str(shared_data / "photos"), "--models", str(shared_data / "models"), "--probes", "500")
    said = lim(tmp_path, "demo", *options, "--json", "figures.json", timeout_s=150)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["rows"] > 170
    assert found["quality"]["rank1_miss"] < 0.1
    assert "500 answered, no errors" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--images", "photos"), "--images, --models: expected both or none, got one"),
        (
            ("--source", "a.npy", "--images", "photos", "--models", "m"),
            "--source, --images: expected one of them, got both",
        ),
        (("--s3", "--source", "s3://theirs/a.npy"), "--s3: its server has keys of its own"),
        (("--out", "/proc/none"), "--out /proc/none: expected a folder that can be written"),
        (("--source", "missing.npy"), "missing.npy"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    found = lim(tmp_path, "demo", *options, code=1)
    assert "error: " in found
    assert said in found
    assert "Traceback" not in found


def test_a_command_that_fails_is_named_with_its_words(tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.zeros((100, 16), np.float32))
    found = lim(tmp_path, "demo", "--source", "bad.npy", "--probes", "10", code=1)
    assert "error: " in found
    assert "Traceback" not in found
    assert (tmp_path / "lim-demo" / "logs" / "dask.log").exists()


MOMENTS = random.Random(3)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [(name, MOMENTS.uniform(0.3, 9.0)) for name in ("SIGINT", "SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")],
)
def test_ended_at_a_random_moment_it_leaves_nothing(tmp_path: Path, name: str, seconds: float) -> None:
    end_at(tmp_path, signal.Signals[name], seconds)


@pytest.mark.drill
@pytest.mark.parametrize("number", range(40))
def test_ended_at_many_moments(tmp_path: Path, number: int) -> None:
    moment = random.Random(number)
    end_at(tmp_path, moment.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]), moment.uniform(0.0, 12.0))


def end_at(home: Path, number: signal.Signals, seconds: float) -> None:
    """Run the demo, end it after so many seconds, and look at the process table."""
    print(f"{number.name} after {seconds:.2f} s")  # noqa: T201 - pytest shows it when the test fails
    run = Marked(("demo", "--rows", "5000", "--probes", "1000", "--check", "100"), home).start()
    try:
        assert run.process is not None
        run.wait_until_after(seconds)
        began = "starting a Redis-protocol server" in run.said
        ended = run.process.poll() is not None
        run.signal(number)
        code = run.finish(40)
        run.wait_nothing_left()
        if not ended and number != signal.SIGKILL and began:
            # it may have been about to end by itself
            assert code in (130, 0), run.said
            assert "Traceback" not in run.said
            assert list(run.temporary.iterdir()) == []
    finally:
        run.end()


def test_ctrl_c_again_while_it_stops(tmp_path: Path) -> None:
    """The impatient get their prompt back, and still nothing is left."""
    run = Marked(("demo", "--rows", "5000", "--probes", "1000"), tmp_path).start()
    try:
        run.wait_said("while the demo runs: pages of the manager")
        for moment in (0.0, 0.05, 0.2, 0.5):
            run.wait_until_after(moment)
            run.signal(signal.SIGINT)
        assert run.finish(20) == 130, run.said
        run.wait_nothing_left()
    finally:
        run.end()


def test_the_check_notices_wrong_answers(tmp_path: Path) -> None:
    """Exact answers score 1, answers of another row 0; equally near rows count as one another."""
    random_rows = np.random.default_rng(5).standard_normal((60, 16)).astype(np.float32)
    rows = (random_rows / np.linalg.norm(random_rows, axis=1, keepdims=True)).astype(np.float16)
    rows[1] = rows[0]
    gallery = Gallery(rows, [f"id-{number}" for number in range(60)])
    queries = rows.astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    exact = np.clip(queries @ rows.astype(np.float32).T, 0, 1)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :11]
    best = np.take_along_axis(exact, order, axis=1)
    names = np.array(gallery.names)
    answers = tmp_path / "answers.npz"

    def checked(ids: Any, similarities: Any, *, own: bool) -> Any:
        np.savez(answers, probe=np.arange(60), ids=ids, similarities=similarities)
        return compare(answers, queries, gallery, 60, own=own)

    right = checked(names[order], best, own=True)
    assert (right.probes, right.recall_at_10, right.same_first) == (60, 1.0, 1.0)
    assert right.largest_error < 1e-5
    assert checked(names[order][:, :10], best[:, :10], own=False).recall_at_10 == 1.0
    wrong = checked(names[(order + 30) % 60], np.full_like(best, -1), own=True)
    assert wrong.recall_at_10 < 0.3
    assert wrong.same_first == 0.0
    swapped = order.copy()
    swapped[2:, 0] = np.where(swapped[2:, 0] == 0, 1, swapped[2:, 0])
    assert checked(names[swapped], best, own=False).recall_at_10 == 1.0
    off = checked(names[order], best + 0.01, own=True)
    assert off.largest_error == pytest.approx(0.01, abs=1e-4)


def test_wishes_go_together(tmp_path: Path) -> None:
    wishes = Wishes(source="mine.npy", out=tmp_path / "new" / "folder")
    wishes.check()
    assert wishes.given == "mine.npy"
    assert wishes.out.is_dir()
