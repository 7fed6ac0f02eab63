"""What the manager's pages make of tasks, versions, alarms, reports: no server needed."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from manager_pages import task_of
from reports import report_of, timed

from configs.errors import LimError
from configs.settings import Dask, Settings
from manager.pages.access import Access
from manager.pages.builds import STAGES, said, view_of, views_of
from manager.pages.cluster import Counts, dashboard_of
from manager.pages.comparing import compared
from manager.pages.curves import Chart, Curve, drawn
from manager.pages.notes import notes_of, notes_of_failed, notes_of_workers
from manager.pages.rendering import Frame, coded
from manager.pages.submitting import fields_of, submission_of
from manager.pages.versions import holders_of, versions_of
from manager.shelf.rows import Alarm, Figures, IndexView, LabelView
from pipeline.pages.access import MOST_FAILURES, SESSION_S
from pipeline.stages import BUILD

TOKEN, READ = "correct-horse-battery", "only-for-reading-here"
NOW = 1_700_000_000.0


def test_the_stages_are_those_of_a_build() -> None:
    assert tuple(stage.name for stage in BUILD) == STAGES


def test_a_running_build_says_how_far_it_is() -> None:
    task = task_of(
        "staff", status="indexing", started=NOW - 90, stage="encode", items=40, finished=13, rows_per_s=5e4, eta_s=83.0
    )
    view = view_of(task, NOW)
    assert (view.stage_number, view.stages_all, view.left_s, view.took_s, view.rows_per_s) == (7, 13, 83.0, 90.0, 5e4)
    assert [stage.state for stage in view.stages] == ["done"] * 6 + ["running"] + ["waiting"] * 6
    assert (view.items_say, said(view)) == ("13 of 40 items of encode", "staff: building, encode")
    assert said(view_of(replace(task, cancelling=True), NOW)) == "staff: ending"


def test_a_failed_build_says_why_and_what_to_do() -> None:
    task = task_of("staff", status="error", started=NOW - 9, ended=NOW - 4, stage="census", error_code=26105,
                   desc="list is empty", detail="got no row")  # fmt: skip
    view = view_of(task, NOW)
    assert view.why == "list is empty (26105): got no row"
    assert view.advice.startswith("Look at the source")
    assert (view.took_s, view.left_s) == (5.0, None)
    assert [stage.state for stage in view.stages][:4] == ["done", "done", "stopped", "waiting"]
    again = replace(task, status="pending", not_before=NOW + 7)
    assert (view_of(again, NOW).place, view_of(again, NOW).why) == (
        "tried again in 7 s",
        "the attempt before: got no row",
    )


def test_places_in_the_queue_and_passwords() -> None:
    tasks = [task_of("a", source="s3://user:secret@host/x"), task_of("b"), task_of("c")]
    views = views_of(tasks, NOW, ["task-of-a", "task-of-b", "task-of-c"])
    assert [view.place for view in views] == ["next", "behind 1 other", "behind 2 others"]
    assert "secret" not in views[0].source
    assert view_of(tasks[0], NOW).place == "", "so far back that nobody counted"


def figures(created: str) -> Figures:
    return Figures(
        created=created, rows=20, nbytes=1, memory=1, mapped=0, shards=2, format=1, recipe="exact", parameters={}, nprobe=0,
        rerank=0, descriptor_version="59", dim=512, forced=False, recall_at_10=None, added_fnir=None, added_fnir_bound=None,
        target=None, resolvable=None, threshold=None, fpir=None, verdict="", latency_ms=None, requests_per_s=None,
        cost_us=None, rejected_rows=0, content_digest="",
    )  # fmt: skip


def index(index_id: str, day: int, **changes: object) -> IndexView:
    made = IndexView(
        label="staff",
        index_id=index_id,
        serves=False,
        previous=False,
        figures=figures(f"2024-01-{day:02d}T00:00:00+00:00"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_may_be_done_with_a_version() -> None:
    newer, serving = index("n", 3, loading_by={"m": (1,)}), index("s", 2, serves=True, held_by={"m": (0, 1), "o": (1,)})
    broken = index("b", 1, figures=None, problem="gone")
    old = index("o", 1)
    view = LabelView(
        label="staff", etag="", index_id="s", previous=(), asked_index_id="s", versions=(newer, serving, old, broken)
    )
    found = versions_of(view)
    assert [one.newer for one in found] == [True, False, False, False]
    assert [one.can_serve for one in found] == [True, False, True, False]
    assert [one.why_kept for one in found] == ["matchers hold or load it", "it serves", "", ""]
    assert [one.can_go for one in found] == [False, False, True, True]
    assert holders_of(serving) == ("m (shards 0, 1)", "o (shard 1)")
    assert holders_of(newer) == ("m (loading, shard 1)",)
    waiting = versions_of(replace(view, versions=(replace(serving, missing_shards=(1,)),)))
    assert waiting[0].state == "loading"


def test_alarms_of_many_labels_are_one_note() -> None:
    alarms = [Alarm(kind="unserved", label=f"list-{n}", text=f"list-{n}: is loaded by no matcher") for n in range(9)]
    alarms.append(Alarm(kind="no_matcher", text="no matcher announces itself"))
    many, single = notes_of(alarms)
    assert (many.labels, many.more) == (tuple(f"list-{n}" for n in range(5)), "4")
    assert many.text.startswith("Of 9 labels no matcher has loaded")
    assert (single.text, single.labels) == ("No matcher announces itself", ())
    assert notes_of(alarms, whole=False)[0].text.startswith("Of 9 or more labels")
    few = notes_of(alarms[:2])
    assert [note.text for note in few] == ["list-0: is loaded by no matcher", "list-1: is loaded by no matcher"]
    assert notes_of([Alarm(kind="drift", label="a", text="a: drifts")])[0].is_bad is False


def test_notes_of_builds_and_workers() -> None:
    failed = [task_of(f"list-{n}", status="error", detail="no rows") for n in range(5)]
    assert notes_of_failed(failed[:1])[0].text == "list-0: its newest build failed: no rows"
    assert notes_of_failed(failed)[0].text.startswith("The newest builds of 5 labels failed")
    (lonely,) = notes_of_workers(Counts(), {"pending": 1})
    assert lonely.text.startswith("Builds wait for workers")
    assert list(notes_of_workers(Counts(), {"pending": 0})) == []
    assert list(notes_of_workers(None, {"pending": 1})) == []
    assert [note.text for note in notes_of_workers(Counts(problem="the dashboard is away"), {})] == [
        "The dashboard is away"
    ]


@pytest.mark.parametrize(
    ("dask", "address"),
    [
        (Dask(), ""),
        (Dask(scheduler="serial"), ""),
        (Dask(scheduler="tcp://scheduler:8786"), "http://scheduler:8787"),
        (Dask(scheduler="tcp://[::1]:8786"), "http://[::1]:8787"),
        (Dask(scheduler="tcp://scheduler:8786", dashboard="https://dask.example/x/status"), "https://dask.example/x"),
    ],
)
def test_where_the_dashboard_is(dask: Dask, address: str) -> None:
    assert dashboard_of(Settings(dask=dask)) == address


def test_ways_to_pages() -> None:
    frame = Frame("../")
    assert frame.label("a/b ü?") == "../labels/a%2Fb%20%C3%BC%3F"
    assert frame.label("..") == "../labels/-?name=..", "a browser would resolve it"
    assert frame.compare("l", "", "x") == "../compare?label=l&after=x"
    assert str(coded("start `lim <x>`")) == "start <code>lim &lt;x&gt;</code>."


def test_two_versions_are_compared() -> None:
    rng = np.random.default_rng(7)
    impostors, mates = rng.normal(0.2, 0.08, 4_000), rng.normal(0.7, 0.1, 4_000)
    before = report_of(impostors, mates, index_id="one", added_fnir=0.02)
    after = report_of(impostors, mates + 0.05, index_id="two", rows=20_000, added_fnir=0.001)
    curves = [
        timed("scan", 1, 40, cost_us=30, qps=9e3, bound=0.02),
        timed("scan", 1, 80, cost_us=40, qps=7e3, bound=0.004),
    ]
    reports = []
    for report in (before, after):
        point = replace(report.manifest.point, nprobe=1, rerank=80)
        measured = [one | {"recall_at_10": 0.9 + one["rerank"] / 1000} for one in curves]
        reports.append(replace(report, manifest=replace(report.manifest, point=point), curve=measured))
    found = compared(*reports)
    assert next(one.verdict for one in found.changes if one.figure == "added FNIR") == "better"
    assert any("10,000 rows, has 20,000" in one for one in found.remarks)
    costs = {one.figure: one for one in found.costs}
    assert (costs["rows"].before, costs["rows"].after, costs["rows"].verdict) == ("10,000", "20,000", "")
    assert costs["requests/s in batches of 256"].verdict == "about the same"
    errors, losses, speeds = found.charts
    assert [side for side, _ in errors.paths] == ["before", "after"]
    assert errors.standing is not None
    rings = [("before", False), ("before", True), ("after", False), ("after", True)]
    assert [(side, ring) for side, _, _, ring in losses.dots] == rings
    assert len(speeds.dots) == 4
    assert all(float(text) <= 1 for _, text in speeds.ticks_up)


def test_reports_without_measured_points_leave_pictures_empty() -> None:
    report = report_of(np.linspace(0, 0.5, 500), np.linspace(0.6, 1, 500))
    found = compared(report, report)
    assert [chart.is_empty for chart in found.charts][1:] == [True, True]
    assert {one.before for one in found.costs if "request" in one.figure} == {"–"}


def test_a_curve_stays_inside_its_picture() -> None:
    points = ((0.0, 0.5), (1e-4, 0.3), (1e-2, 0.0), (1.0, 1e-3), (math.nan, 1.0))
    chart = Chart(name="n", title="t", about="a", across="x", up="y", curves=(Curve("before", points),), standing=3e-3)
    found = drawn(chart)
    ((side, path),) = found.paths
    places = [tuple(map(float, place.split())) for place in path[1:].split("L")]
    assert (side, len(places)) == ("before", 2), "a logarithmic axis has no place for 0"
    assert all(found.left <= x <= found.right and found.top <= y <= found.bottom for x, y in places)


def test_the_form_asks_for_what_was_built_before() -> None:
    task = task_of("staff", options={"build.recipe": "scan", "quality.added_fnir": "0.01"}, priority=3, probes="p.npy")
    fields = dict.fromkeys(("recipe", "shards", "again", "submitted_by"), "") | fields_of(task)
    wanted, errors = submission_of(fields)
    assert errors == {}
    assert (wanted.options, wanted.priority, wanted.source) == (task.options, 3, task.source)
    assert submission_of(fields | {"options": "build.recipe=scan"})[1]["recipe"].endswith("got both")


def test_sessions_are_known_to_every_manager_with_the_same_tokens() -> None:
    one, other = Access(TOKEN, READ), Access(TOKEN, READ)
    writes, reads = one.log_in(TOKEN), one.log_in(READ)
    assert (other.role_of_session(writes), other.role_of_session(reads)) == ("write", "read")
    assert one.log_in("wrong") == ""
    assert TOKEN not in writes
    assert Access("another-token-than-that", READ).role_of_session(writes) == "", "a new token ends them"
    assert one.role_of_session(writes.replace("write", "read", 1)) == "", "what was not signed so"
    assert one.role_of_session(reads.replace("read", "write", 1)) == ""
    assert [one.role_of_session(text) for text in ("", ".", "ü", "write.9999999999.x")] == [""] * 4
    assert other.is_form_token(one.form_token(writes), writes)
    assert not other.is_form_token(one.form_token(writes), reads)


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(TOKEN)
    session = access.log_in(TOKEN)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SESSION_S + 1)
    assert access.role_of_session(session) == ""


def test_many_wrong_tokens_close_the_login_for_a_while() -> None:
    access = Access(TOKEN)
    for _ in range(MOST_FAILURES):
        assert access.log_in("wrong") == ""
    assert access.is_blocked()
    assert access.log_in(TOKEN) == ""


def test_tokens_that_open_too_much_are_refused() -> None:
    with pytest.raises(LimError, match=r"http\.read_token: expected http\.token beside it"):
        Access("", READ)
    with pytest.raises(LimError, match="expected another token"):
        Access(TOKEN, TOKEN)
