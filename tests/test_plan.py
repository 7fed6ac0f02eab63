"""The planner: pure, so every case is a line of numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.artifact import Point
from pipeline.errors import PlanImpossible
from pipeline.plan import Candidate, Facts, cell_count, propose

FACTS = Facts(rows=200_000, dim=512, out=160, recipe="auto", rerank="int8", device="cpu", memory_limit=0)


@pytest.mark.parametrize(
    ("rows", "device", "names"),
    [
        (100, "cpu", ["exact"]),
        (20_000, "cpu", ["exact", "scan"]),
        (200_000, "cpu", ["exact", "scan", "cells"]),
        (200_000, "gpu", ["exact", "scan", "cells", "ivfpq"]),
    ],
)
def test_candidates_follow_the_size(rows: int, device: str, names: list[str]) -> None:
    assert [one.name for one in propose(replace(FACTS, rows=rows, device=device))] == names


@pytest.mark.parametrize("recipe", ["exact", "scan", "cells", "ivfpq"])
def test_a_wanted_recipe_is_the_only_one(recipe: str) -> None:
    assert [one.recipe for one in propose(replace(FACTS, rows=10_000, recipe=recipe))] == [recipe]


def test_what_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(PlanImpossible, match=r"need at least 409,600,000 bytes.*allowed are 1,000,000"):
        propose(replace(FACTS, recipe="exact", memory_limit=1_000_000))


def test_exact_is_left_out_when_only_codes_fit() -> None:
    names = [one.name for one in propose(replace(FACTS, memory_limit=50_000_000))]
    assert names == ["scan", "cells"]


def test_cost_orders_what_was_measured() -> None:
    exact, scan, cells = propose(FACTS)
    assert cells.cost(Point(64, 80)) < scan.cost(Point(1, 80)) < exact.cost(Point(0, 0)) / 5
    assert scan.cost(Point(1, 80)) < scan.cost(Point(1, 160)) < cells.cost(Point(512, 160))


def test_cell_count_is_a_power_of_two_near_the_root() -> None:
    assert [cell_count(rows) for rows in (1_000, 200_000, 1_000_000, 4_200_000)] == [64, 1024, 2048, 4096]


def test_candidate_survives_json() -> None:
    for one in propose(replace(FACTS, device="gpu")):
        assert Candidate.from_json(one.to_json()) == one


def test_float16_rows_take_twice_the_mapped_bytes() -> None:
    int8, float16 = (propose(replace(FACTS, recipe="scan", rerank=kind))[0].memory() for kind in ("int8", "float16"))
    assert float16.mapped - int8.mapped == 200_000 * 512
    assert float16.anonymous == int8.anonymous
