"""The list of builds behind the pages: bounded, tolerant of what others send, right about what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.settings import Build, Settings, Storage
from pipeline.order import Order
from pipeline.pages.commands import command
from pipeline.pages.figures import build_left_s, figures, left_s, rows_per_s, span
from pipeline.pages.history import MOST_STAGES, BuildOf, History
from pipeline.pages.kept import Kept
from pipeline.pages.orders import Ordered


def told(history: History, run: str, event: str, now: float, **fields: Any) -> BuildOf:
    message = {"run": run, "label": "list", "index_id": f"index-{run}", "client": f"client-{run}", "event": event}
    build = history.heard(message | fields, now)
    assert build is not None, (event, fields)
    return build


def item(history: History, run: str, stage: str, now: float, rows: int = 100) -> None:
    message = {
        "event": "item", "label": "list", "index_id": f"index-{run}", "client": f"client-{run}", "stage": stage,
        "wave": 2, "item": "0", "rows": rows, "seconds": 1.0,
    }  # fmt: skip
    assert history.heard(message, now) is not None


def begun(history: History, run: str, now: float = 100.0) -> BuildOf:
    told(history, run, "began", now, source="faces.npy", stages=["extract", "train", "publish"])
    return told(history, run, "started", now, stage="extract", items=4, finished=1)


def test_a_build_is_followed_from_what_its_command_tells() -> None:
    history = History(10)
    build = begun(history, "one")
    item(history, "one", "extract", 101)
    item(history, "one", "extract", 102)
    stage = build.stages["extract"]
    assert (stage.finished, stage.done, stage.rows, stage.wave) == (1, 2, 200, 2)
    assert rows_per_s(stage, 102) == 100
    assert left_s(stage, 102) == 1, "one item left, one a second"
    shown = figures(build, None, 102)
    assert (shown["stage"], shown["stage_number"], shown["stages_all"]) == ("extract", 1, 3)
    assert shown["stages"][0]["items_done"] == 3
    told(history, "one", "ended", 103, stage="extract", seconds=3.0)
    told(history, "one", "published", 110, rows=300, report="indexes/list/index-one/report.html")
    assert (build.state, build.ended, build.rows) == ("published", 110, 300)
    history.gone("client-one", 111)
    assert build.state == "published", "its client leaves when it is done"


def test_what_is_left_is_told_by_an_earlier_build() -> None:
    history = History(10)
    begun(history, "old")
    for _ in range(3):
        item(history, "old", "extract", 101)
    told(history, "old", "ended", 103, stage="extract", seconds=3.0)
    told(history, "old", "started", 103, stage="train", items=1, finished=0)
    told(history, "old", "ended", 113, stage="train", seconds=10.0)
    told(history, "old", "published", 113, rows=1_000, report="r")
    build = begun(history, "new", 200)
    assert build_left_s(build, history.like(build), 200) is None, "its rows are not counted yet"
    for second in (201, 202, 203):
        item(history, "new", "extract", second, rows=500)
    told(history, "new", "ended", 203, stage="extract", seconds=3.0)
    # 1,500 rows in three of four items: 2,000; training took 10 s for 1,000
    assert build_left_s(build, history.like(build), 203) == pytest.approx(20)
    told(history, "new", "started", 203, stage="train", items=1, finished=0)
    assert build_left_s(build, history.like(build), 208) == pytest.approx(15)


def test_a_lost_end_of_a_stage_is_seen_from_the_next() -> None:
    history = History(10)
    build = begun(history, "one")
    told(history, "one", "started", 107, stage="train", items=1, finished=0)
    assert build.stages["extract"].seconds == 7


def test_a_client_that_leaves_has_stopped_and_may_be_back() -> None:
    history = History(10)
    build = begun(history, "one")
    assert history.gone("", 105) == []
    assert history.gone("client-one", 105) == [build]
    assert (build.state, build.ended) == ("stopped", 105)
    item(history, "one", "extract", 120)
    assert (build.state, build.error) == ("running", "")
    history.gone("client-one", 130)
    told(history, "one", "failed", 131, error="disk full: make room")
    assert (build.state, build.error) == ("failed", "disk full: make room"), "its own word goes before a guess"


def test_items_of_a_runner_that_tells_nothing_else_make_a_build() -> None:
    history = History(10)
    item(history, "alone", "encode", 100)
    (build,) = history
    assert (build.label, build.index_id, build.stages["encode"].done) == ("list", "index-alone", 1)


def test_the_list_is_bounded_and_drops_the_oldest_that_ended() -> None:
    history = History(3)
    running = begun(history, "running")
    for number in range(5):
        begun(history, f"run-{number}")
        told(history, f"run-{number}", "failed", 101, error="no")
    assert [build.run for build in history] == ["run-4", "run-3", "running"]
    assert running.is_open


@pytest.mark.parametrize(
    "message",
    [
        None, 3, "text", {}, {"event": "began"}, {"event": "odd", "label": "x", "index_id": "y"},
        {"event": "began", "run": "../../etc", "label": "x", "index_id": "y", "source": "", "stages": []},
        {"event": "item", "run": "r", "label": "x", "index_id": "y", "stage": "s", "wave": 0, "rows": "many"},
        {"event": "began", "run": "r", "label": "x", "index_id": "y", "source": "", "stages": list(range(MOST_STAGES + 1))},
    ],
)  # fmt: skip
def test_what_is_no_message_of_ours_is_passed_over(message: object) -> None:
    history = History(10)
    assert history.heard(message, 1.0) is None
    assert not [build for build in history if build.run != "r"]


def test_the_list_survives_and_a_broken_one_is_put_aside(tmp_path: Path) -> None:
    kept, history = Kept(str(tmp_path)), History(10)
    begun(history, "one")
    told(history, "two", "published", 5.0, rows=3, report="r")
    kept.log("gone").write_text("of a build that is no longer in the list")
    kept.save(reversed(list(history)))
    assert not kept.log("gone").exists()
    one, two = Kept(str(tmp_path)).load()
    assert (one.run, one.state, one.stages["extract"].items) == ("one", "stopped", 4)
    assert (two.run, two.state, two.rows) == ("two", "published", 3)
    (tmp_path / "builds.json").write_text('[{"run": 1}]')
    assert Kept(str(tmp_path)).load() == []
    assert (tmp_path / "builds.unreadable").read_text() == '[{"run": 1}]'


def test_the_tail_of_a_long_log_is_short(tmp_path: Path) -> None:
    kept = Kept(str(tmp_path))
    assert kept.tail("none") == ""
    kept.log("long").write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert kept.tail("long").splitlines()[-1] == "line 99999"
    assert len(kept.tail("long").splitlines()) < 100


def test_the_command_is_a_list_without_keys(tmp_path: Path) -> None:
    settings = Settings(build=Build(force=True), storage=Storage(secret_key="very-secret"))
    ordered = Ordered(Order("-rf; $(reboot)", "--label", "p q"), settings, {})
    line = command(ordered, "run", "tcp://here", tmp_path / "figures.json")
    assert line[-2:] == ["--", "-rf; $(reboot)"]
    assert {"--label=--label", "--probes=p q", "--scheduler=tcp://here", "build.force=true"} <= set(line)
    assert not [part for part in line if "secret" in part or part.startswith(("redis.", "http."))]


def test_spans_are_read_by_people() -> None:
    seconds = (None, 0.04, 9.9, 9.96, 59.4, 61, 3_600, 7_500, 90_000)
    shown = ["–", "0.0 s", "9.9 s", "10 s", "59 s", "1 min 1 s", "1 h", "2 h 5 min", "1 d 1 h"]
    assert [span(one) for one in seconds] == shown
