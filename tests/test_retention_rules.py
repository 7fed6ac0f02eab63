"""Which versions, works, segments stay, by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from manager.retention.facts import Circumstances, Kind, Thing
from manager.retention.rules import decide
from pipeline.artifact import Head, Segment

DAY = 86_400.0
NOW = 100 * DAY


def thing(kind: Kind, index_id: str, age_s: float, *, label: str = "people", **changes: Any) -> Thing:
    """Written, published, made so many seconds ago."""
    when = NOW - age_s
    fields = {"created": when, "published": when, "newest": when, "prefix": f"{kind}/{index_id}/"} | changes
    return Thing(kind=kind, label=label, index_id=index_id, keys=("a", "b"), nbytes=7, **fields)


def known(**changes: Any) -> Circumstances:
    fields: dict[str, Any] = {
        "now": NOW, "heads": {}, "used": {}, "asked": {}, "open_tasks": {}, "keep": 2, "keep_s": 7 * DAY, "orphan_s": DAY,
    }  # fmt: skip
    return Circumstances(**fields | changes)


def gone(things: list[Thing], **changes: Any) -> dict[str, str]:
    """Index ids that go, with the reason."""
    return {one.thing.index_id: one.why for one in decide(things, known(**changes)) if one.goes}


def kept(things: list[Thing], **changes: Any) -> dict[str, str]:
    return {one.thing.index_id: one.why for one in decide(things, known(**changes)) if not one.goes}


OLD = [
    thing("version", name, age * DAY)
    for name, age in (("f", 10), ("e", 20), ("d", 30), ("c", 40), ("b", 50), ("a", 60))
]


def test_the_newest_stay_and_the_young() -> None:
    assert set(gone(OLD)) == {"a", "b", "c", "d"}
    assert set(gone(OLD, keep=4)) == {"a", "b"}
    assert set(gone(OLD, keep_s=45 * DAY)) == {"a", "b"}
    assert gone(OLD)["d"] == "it is number 3 by age, kept are 2, and 30 d old, kept are 7 d"
    assert kept(OLD)["f"] == "it is one of the newest 2"
    assert kept(OLD, keep_s=45 * DAY)["d"] == "it is 30 d old, younger than 45 d"


NEEDED: list[tuple[Mapping[str, Any], set[str], str]] = [
    ({"heads": {"people": Head(label="people", index_id="a", previous=("gone", "b", "c"))}}, {"a", "b"}, "it serves"),
    ({"heads": {"people": None}}, {"a", "b", "c", "d"}, "the head of its label cannot be read"),
    ({"asked": {"people": "a"}}, {"a"}, "requests still go to it"),
    ({"used": {("people", "a"): ("m1", "m2")}}, {"a"}, "held or being loaded by m1, m2"),
    ({"open_tasks": {"a": "indexing"}}, {"a"}, "its task is indexing"),
    ({"used": {("others", "a"): ("m1",)}}, set(), ""),
]


@pytest.mark.parametrize(("circumstances", "stay", "why"), NEEDED)
def test_what_is_needed_stays_whatever_its_age(circumstances: Mapping[str, Any], stay: set[str], why: str) -> None:
    found = kept(OLD, **circumstances)
    assert set(found) == {"e", "f"} | stay
    assert found.get("a", "").startswith(why)


def test_what_came_before_is_the_newest_that_is_still_there() -> None:
    head = Head(label="people", index_id="a", previous=("gone", "b", "c"))
    assert kept(OLD, heads={"people": head})["b"].startswith("it served before the one that serves")


def test_versions_are_counted_by_label_in_the_order_of_their_builds() -> None:
    others = [thing("version", f"o{age}", age * DAY, label="others") for age in (10, 20, 30)]
    assert set(gone([*OLD[:2], *others])) == {"o30"}
    copied = [
        thing("version", name, 30 * DAY, created=NOW - days * DAY) for name, days in (("x", 90), ("y", 50), ("z", 70))
    ]
    assert set(gone(copied)) == {"x"}, "objects of a copied bucket are all of one age"


def test_works_of_dead_builds_go() -> None:
    things = [thing("work", "dead", 2 * DAY), thing("work", "alive", 3600), thing("work", "queued", 2 * DAY)]
    found = decide(things, known(open_tasks={"queued": "pending"}))
    assert [(one.thing.index_id, one.goes) for one in found] == [("dead", True), ("alive", False), ("queued", False)]
    assert found[0].why == "left by a build or a writer that died: nothing was written to it for 2 d, kept are 1 d"
    assert found[1].why == "something was written to it 1 h ago: its build may be running"
    assert found[2].why == "the task of its build is pending"


def test_unfinished_indexes_go_when_no_build_works_on_them() -> None:
    things = [
        thing("unfinished", "dead", 2 * DAY), thing("unfinished", "young", 60), thing("unfinished", "built", 2 * DAY),
        thing("work", "built", 60), thing("unfinished", "queued", 2 * DAY), thing("unfinished", "left", 2 * DAY),
        thing("work", "left", 2 * DAY),
    ]  # fmt: skip
    assert set(gone(things, open_tasks={"queued": "indexing"})) == {"dead", "left"}


def test_segments_that_no_head_lists_go() -> None:
    listed = Segment(key="deltas/people/1-2-a.arrow", first=1, last=2, sha256="")
    heads = {"people": Head(label="people", index_id="a", segments=(listed,)), "odd": None}
    things = [
        thing("segment", "listed", 9 * DAY, prefix=listed.key), thing("segment", "left", 9 * DAY, prefix="deltas/people/3"),
        thing("segment", "new", 60, prefix="deltas/people/5"), thing("segment", "odd", 9 * DAY, label="odd"),
        thing("segment", "headless", 9 * DAY, label="headless"),
    ]  # fmt: skip
    assert set(gone(things, heads=heads)) == {"left"}
