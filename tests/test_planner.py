"""The planner with a real Redis: what is due is submitted once, what is fresh never, whoever plans."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from plans import Plans, plans_at
from published import publish_index, unit_rows
from waiting import eventually

from configs.errors import ConfigError
from configs.settings import Settings, Source
from manager.embedded.seaweed import S3
from manager.planner.due import FIRST_PAUSE_S, LONGEST_PAUSE_S, Due, resting
from manager.planner.rounds import last_round
from manager.tasks.task import Task
from pipeline.order import Order, listed


@pytest.fixture
async def plans(redis_url: str, tmp_path: Path) -> AsyncIterator[Plans]:
    async with plans_at(redis_url, tmp_path) as found:
        yield found


async def test_lists_on_s3_from_the_first_look_to_the_next_change(
    redis_url: str, tmp_path: Path, s3_server: S3, s3_url: str
) -> None:
    """Strictly more rows than the least, each content once, nothing opened that did not change."""
    async with plans_at(redis_url, tmp_path, s3_url, endpoint_url=s3_server.endpoint) as plans:
        for label, rows in (("small", 9), ("equal", 10), ("large", 11), ("a[1] %", 40)):
            plans.put(label, rows)
        first = await plans.plan()
        assert (first.lists, first.opened, first.errors, first.problem) == (4, 4, {}, "")
        assert sorted(first.submitted) == ["a[1] %", "large"]
        task = await plans.tasks.get(first.submitted["large"])
        assert (task.label, task.rows, task.submitted_by) == ("large", 11, "planner")
        again = await plans.plan()
        assert (again.opened, again.submitted, again.waiting) == (0, {}, first.submitted)
        assert await plans.build() == ["a[1] %", "large"]
        fresh = await plans.plan()
        assert (fresh.opened, fresh.due, fresh.submitted) == (0, 0, {})
        plans.put("equal", 12)
        plans.put("large", 11, version=2)
        changed = await plans.plan()
        assert (changed.opened, sorted(changed.submitted)) == (2, ["equal", "large"])


async def test_a_list_that_changes_while_its_task_waits_or_is_built(plans: Plans) -> None:
    """A task that waits reads what is there when its build begins; one that is being built has read it."""
    plans.put("one", 20)
    first = (await plans.plan()).submitted
    plans.put("one", 20, version=2)
    assert (await plans.plan()).waiting == first
    await plans.claim()
    plans.put("one", 20, version=3)
    second = await plans.plan()
    assert list(second.submitted) == ["one"]
    assert second.submitted != first
    assert (await plans.plan()).waiting == second.submitted
    counts = await plans.tasks.counts()
    assert (counts["pending"], counts["indexing"]) == (1, 1)


async def test_an_equal_task_that_is_being_built_is_not_submitted_again(plans: Plans) -> None:
    plans.put("one", 20)
    first = (await plans.plan()).submitted
    await plans.claim()
    assert (await plans.plan()).waiting == first
    assert await plans.tasks.waiting(10) == []


async def test_named_lists_of_any_size_and_one_that_is_missing(plans: Plans) -> None:
    for label in ("tiny", "huge", "other"):
        plans.put(label, 1 if label == "tiny" else 30)
    done = await plans.plan(lists=" tiny, huge,gone,tiny ")
    assert sorted(done.submitted) == ["huge", "tiny"]
    assert list(done.errors) == ["gone"]
    assert "gone.npy: expected a list, found nothing there" in done.errors["gone"]


async def test_many_named_lists_are_found_by_one_listing(plans: Plans) -> None:
    for number in range(80):
        plans.put(f"l{number}", 1)
    done = await plans.plan(lists=",".join(f"l{number}" for number in range(20, 90)))
    assert (len(done.submitted), done.opened, len(done.errors)) == (60, 60, 10)
    assert "l85.npy: expected a list, found nothing there" in done.errors["l85"]


async def test_what_is_wrong_with_one_list_is_told_and_stops_no_other(
    plans: Plans, caplog: pytest.LogCaptureFixture
) -> None:
    plans.put("good", 20)
    plans.drop("torn", b"\x93NUMPY\x01\x00 nothing")
    caplog.set_level(logging.INFO, "manager.planner")
    running = asyncio.create_task(plans.planner(planning_period_s=0.02).run(7))
    await eventually(lambda: caplog.text.count("Planned 1 lists") > 2, timeout_s=20, what="three rounds")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    told = await last_round(plans.redis)
    assert told is not None
    assert (told["by"], told["fence"], list(told["errors"])) == ("http://here", 7, ["torn"])
    assert "torn.npy: expected an array in NumPy's format" in told["errors"]["torn"]
    assert told["next"] == pytest.approx(told["began"] + 0.02)
    assert caplog.text.count("torn.npy: expected an array") == 1  # though every round meets it
    assert len(await plans.tasks.waiting(10)) == 1


async def test_a_manager_that_begins_to_lead_plans_at_once_and_doubles_nothing(plans: Plans) -> None:
    """Without period or schedule that is the only plan, after which there is nothing left to do."""
    plans.put("one", 20)
    for _ in range(2):
        await plans.planner().run(1)
        assert len(await plans.tasks.waiting(10)) == 1
    await plans.build()
    await plans.planner().run(2)
    assert await plans.tasks.waiting(10) == []
    await plans.planner(lists="").run(3)
    told = await last_round(plans.redis)
    assert told is not None
    assert (told["fence"], told["due"], told["next"]) == (2, 0, 0.0)


async def test_a_plan_that_fails_is_made_again_soon(plans: Plans) -> None:
    """Here there is nothing to list yet; no further plan is due by itself."""
    running = asyncio.create_task(plans.planner(retry_s=0.02).run(1))

    async def problem() -> bool:
        told = await last_round(plans.redis)
        return told is not None and "expected lists, found nothing at" in told["problem"]

    await eventually(problem, timeout_s=20, what="the problem being told")
    plans.put("one", 20)
    await asyncio.wait_for(running, 20)
    assert len(await plans.tasks.waiting(10)) == 1


async def test_an_emptied_redis_does_not_make_everything_new(plans: Plans) -> None:
    """What lies in the bucket is known by the watermark in its manifest."""
    for label in ("same", "other", "unread"):
        plans.put(label, 20)
        source = plans.settings.source.template.replace("{label}", label)
        _, fingerprint = listed(Order(source, label), plans.settings)
        watermark = fingerprint if label != "other" else "older"
        publish_index(plans.store, label, f"{label}-1", unit_rows(1, 5), watermark=watermark)
    plans.put("new", 20)
    plans.store.write("catalog/unread.json", b"{")
    done = await plans.plan()
    assert sorted(done.submitted) == ["new", "other"]
    assert list(done.errors) == ["unread"]


async def test_what_was_cancelled_stays_so_until_the_list_changes(plans: Plans) -> None:
    plans.put("one", 20)
    task_id = (await plans.plan()).submitted["one"]
    await plans.tasks.cancel(task_id)
    done = await plans.plan()
    assert (done.submitted, list(done.resting)) == ({}, ["one"])
    assert f"task {task_id} of the same content was cancelled" in done.resting["one"]
    plans.put("one", 20, version=2)
    assert list((await plans.plan()).submitted) == ["one"]


def failed(*ends: float, status: str = "error", by: str = "planner") -> list[Task]:
    task = Task(task_id="t", label="one", source="", fingerprint="f+probes:p", submitted_by=by, error_code=26103)
    return [replace(task, ended=end, status=status) for end in ends]  # type: ignore[arg-type]


def test_failures_of_a_content_are_tried_again_ever_more_rarely() -> None:
    one = Due("one", "changed", "f")
    assert "26103" in resting(one, failed(1000.0), 1000.0 + FIRST_PAUSE_S - 1)
    assert resting(one, failed(1000.0), 1000.0 + FIRST_PAUSE_S) == ""
    twice = failed(1000.0, 5000.0)
    assert resting(one, twice, 5000.0 + 2 * FIRST_PAUSE_S - 1)
    assert resting(one, twice, 5000.0 + 2 * FIRST_PAUSE_S) == ""
    assert resting(one, failed(*range(1, 20)), 19 + LONGEST_PAUSE_S) == ""
    assert resting(one, failed(1.0, by="a person"), 2.0) == ""
    assert resting(Due("one", "changed", "another"), failed(1.0), 2.0) == ""
    assert resting(one, [*failed(1.0), *failed(2.0, status="success")], 3.0) == ""


def test_a_schedule_goes_before_a_period(plans: Plans) -> None:
    nightly = {"planning_schedule": "30 3 * * *", "planning_zone": "UTC"}
    assert plans.planner(planning_period_s=60.0, **nightly).following(86_400.0) == 86_400.0 + 3.5 * 3_600
    assert plans.planner(planning_period_s=60.0).following(86_400.0) == 86_460.0
    assert plans.planner().following(86_400.0) == 0.0


@pytest.mark.parametrize(
    ("section", "template", "problem"),
    [
        ({"planning_schedule": "* *"}, "{label}", "planning_schedule: expected five fields"),
        ({"planning_zone": "Mars"}, "{label}", "planning_zone: expected a name"),
        ({"lists": "dynamic,one"}, "{label}", "manager.lists: expected labels or `dynamic` alone"),
        ({"lists": "one"}, "", "source.template: expected where"),
    ],
)
def test_settings_that_cannot_be_are_told_at_the_start(
    plans: Plans, section: dict[str, str], template: str, problem: str
) -> None:
    source: Source = replace(plans.settings.source, template=template and plans.settings.source.template)
    settings: Settings = replace(plans.settings, source=source)
    with pytest.raises(ConfigError, match=problem):
        replace(plans, settings=settings).planner(**section)
