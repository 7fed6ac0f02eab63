"""The planner: pure, so every case is a line of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.artifact import Point
from pipeline.clustering.sizes import cell_count
from pipeline.errors import PlanImpossible
from pipeline.plan import propose
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import alone_ms, cost, memory

FACTS = Facts(rows=200_000, dim=512, out=160, recipe="auto", rerank="int8", device="cpu", memory_limit=0)


@pytest.mark.parametrize(
    ("rows", "device", "names"),
    [
        (100, "cpu", ["exact"]),
        (19_999, "gpu", ["exact"]),
        (20_000, "cpu", ["exact", "scan"]),
        (60_000, "cpu", ["exact", "scan", "cells"]),
        (200_000, "cpu", ["exact", "scan", "scan-lean", "scan-coarse", "cells", "cells-coarse"]),
        (60_000, "gpu", ["exact", "scan", "cells", "ivfpq"]),
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
    assert names == ["scan", "scan-lean", "scan-coarse", "cells", "cells-coarse"]


def test_cost_orders_what_was_measured() -> None:
    """The order, and the ratios within a third, of what 500,000 rows took on two cores."""
    by_name = {one.name: one for one in propose(replace(FACTS, rows=500_000, rerank="float16"))}
    measured = {
        ("exact", 0, 0): 2_770, ("scan", 1, 80): 371, ("scan", 1, 640): 587, ("scan-lean", 1, 80): 319,
        ("scan-coarse", 1, 80): 242, ("cells", 32, 80): 71, ("cells", 128, 80): 126, ("cells", 256, 80): 189,
    }  # fmt: skip
    predicted = {where: cost(by_name[where[0]], Point(*where[1:])) for where in measured}
    assert sorted(measured, key=measured.__getitem__) == sorted(predicted, key=predicted.__getitem__)
    for where, microseconds in measured.items():
        assert 0.66 < predicted[where] / microseconds < 1.5, where


def test_one_request_alone_costs_what_memory_gives() -> None:
    by_name = {one.name: one for one in propose(replace(FACTS, rows=500_000, rerank="float16"))}
    assert 0.5 < alone_ms(by_name["scan"], Point(1, 160)) < 1.2
    assert 20 < alone_ms(by_name["exact"], Point(0, 0)) < 80


def test_a_latency_leaves_the_points_that_keep_it() -> None:
    found = propose(replace(FACTS, latency_ms=0.3))
    assert found
    assert all(alone_ms(one, point) <= 0.3 for one in found for point in one.points)
    assert "exact" not in {one.name for one in found}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"latency_ms": 0.001}, r"quality\.latency_ms: .*200000 rows of 512 is predicted to take at least .* ms .*allowed are 0\.001"),
        (
            {"rows": 2_000_000, "latency_ms": 1.5, "memory_limit": 60_000_000},
            r"within 60,000,000 bytes .*raise it, or build\.memory_limit_bytes to [\d,]+ \(cells",
        ),
    ],
)  # fmt: skip
def test_what_is_too_slow_is_refused_with_what_would_be_possible(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanImpossible, match=said):
        propose(replace(FACTS, **limits))


def test_rows_in_two_cells_take_twice_the_codes() -> None:
    single, double = (
        next(one for one in propose(replace(FACTS, recipe="cells", assignments=count)) if one.name == "cells")
        for count in (1, 2)
    )
    assert double.parameters["assignments"] == 2
    assert "assignments" not in single.parameters  # as published before
    assert memory(double).anonymous > 1.5 * memory(single).anonymous
    assert cost(double, Point(64, 80)) > cost(single, Point(64, 80))


def test_cell_count_is_a_power_of_two_near_the_root() -> None:
    assert [cell_count(rows) for rows in (1_000, 200_000, 1_000_000, 4_200_000)] == [64, 1024, 2048, 4096]


def test_candidate_survives_json() -> None:
    for one in propose(replace(FACTS, device="gpu")):
        assert Candidate.from_json(one.to_json()) == one


def test_float16_rows_take_twice_the_mapped_bytes() -> None:
    int8, float16 = (memory(propose(replace(FACTS, recipe="scan", rerank=kind))[0]) for kind in ("int8", "float16"))
    assert float16.mapped - int8.mapped == 200_000 * 512
    assert float16.anonymous == int8.anonymous
