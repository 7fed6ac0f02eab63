"""The gate: the cheapest point that passes, further attempts held to less risk, refusals that say what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.quality.bounds import upper_bound
from pipeline.quality.figures import Figures
from pipeline.quality.gate import ATTEMPTS, Gated, Measured, Target, choose
from pipeline.quality.verdict import verdict

TARGET = Target(0.001, 0.95)
EXACT_COST = 1_540.0


def figures(lost: int, probes: int = 10_000) -> Figures:
    return Figures(
        probes=probes, recall_at_1=1, recall_at_10=1, rank1_miss=0, exact_rank1_miss=0, exact_fnir=0.1, lost=lost,
        gained=0, added_fnir=lost / probes, added_fnir_bound=upper_bound(lost, probes, 0.95),
    )  # fmt: skip


def point(name: str, cost: float, lost: int, probes: int = 10_000) -> Measured:
    return Measured(name, "exact" if name == "exact" else "scan", 1, int(cost), cost, figures(lost, probes))


def losing(**lost: int) -> Callable[[Measured], Figures]:
    """A gating half on which the points lose so many."""
    return lambda one: figures(lost.get(one.name, 0), one.figures.probes)


def test_the_cheapest_that_meets_the_target_on_both_halves_is_taken() -> None:
    points = [point("dear", 300, 0), point("good", 200, 4), point("bad", 100, 5), point("exact", 1_540, 0)]
    gated = choose(points, TARGET, losing(good=4))
    assert (gated.point.name, gated.passed, gated.resolvable) == ("good", True, True)
    assert gated.figures.added_fnir_bound == pytest.approx(0.000915, abs=1e-6)
    assert (
        "choosing half: added FNIR 0.0005, bound 0.001051 > 0.001" in gated.rejected["bad (nprobe 1, re-ranking 100)"]
    )
    assert gated.rejected["dear (nprobe 1, re-ranking 300)"].startswith("dearer: 300 µs predicted, good")
    assert gated.rejected["exact"].startswith("dearer")
    assert len(gated.rejected) == 3


def test_predicted_cost_decides_not_the_order_nor_time() -> None:
    points = [point(name, cost, 0) for name, cost in (("b", 2), ("a", 2), ("c", 3))]
    for order in (points, points[::-1]):
        assert choose(order, TARGET, losing()).point.name == "a"


def test_a_further_attempt_is_held_to_half_of_the_risk() -> None:
    """4 of 10,000 pass at 95 % but not at 97.5 %; 3 do."""
    points = [point("first", 1, 0), point("second", 2, 0), point("exact", 1_540, 0)]
    assert choose(points, TARGET, losing(first=9, second=4)).point.name == "exact"
    gated = choose(points, TARGET, losing(first=9, second=3))
    assert gated.point.name == "second"
    assert gated.figures.added_fnir_bound == pytest.approx(upper_bound(3, 10_000, 0.975))
    assert gated.rejected["first (nprobe 1, re-ranking 1)"].startswith("gating half: added FNIR 0.0009")


def test_no_more_than_so_many_attempts() -> None:
    asked: list[str] = []

    def gate(one: Measured) -> Figures:
        asked.append(one.name)
        return figures(100)

    points = [point(f"p{number}", number, 0) for number in range(9)]
    gated = choose(points, TARGET, gate)
    assert not gated.passed
    assert asked == [f"p{number}" for number in range(ATTEMPTS)]
    assert gated.rejected["p8 (nprobe 1, re-ranking 8)"] == f"not tried: {ATTEMPTS} points failed on the gating half"


def test_a_refusal_says_by_how_much_and_what_would_meet_it() -> None:
    gated = choose([point("cells", 90, 250), point("cells", 120, 70)], TARGET, losing(cells=71))
    assert (gated.passed, gated.resolvable) == (False, True)
    said = verdict(gated, TARGET, EXACT_COST)
    assert "added FNIR 0.0071 (71 of 10000 mates lost), bound 0.00864" in said
    assert "allowed 0.001: not published" in said
    assert "cells (nprobe 1, re-ranking 120)" in said
    assert "recipe 'exact' (predicted 1540 µs a request on one core, this one 120)" in said
    assert "quality.added_fnir of 0.0087 and more" in said
    assert "--force" in said


def test_few_probes_leave_exact_search_or_say_so() -> None:
    few = [point("scan", 20, 0, 500), point("exact", 50, 0, 500)]
    gated = choose(few, TARGET, losing())
    assert (gated.point.name, gated.passed) == ("exact", True)
    reason = gated.rejected["scan (nprobe 1, re-ranking 20)"]
    assert reason.endswith("500 probes of the choosing half cannot prove it, 2995 can")
    assert "500 mated probes could not prove 0.001" in verdict(gated, TARGET, EXACT_COST)
    alone = choose(few[:1], TARGET, losing())
    assert (alone.passed, alone.resolvable) == (False, False)
    assert verdict(alone, TARGET, EXACT_COST).startswith("not resolvable: scan (nprobe 1, re-ranking 20) lost 0 of 500")


@pytest.mark.parametrize(("lost", "resolvable"), [(0, False), (1, False), (2, True), (50, True)])
def test_few_probes_are_enough_to_disprove(lost: int, resolvable: bool) -> None:
    """Of 100 probes, 2 lost happen to an index that loses .001 once in 200 times: that one is refused."""
    gated = choose([point("scan", 20, 0, 100)], TARGET, losing(scan=lost))
    assert (gated.passed, gated.resolvable) == (False, resolvable)


@pytest.mark.parametrize(("lost", "passed"), [(0, True), (10, True), (11, False)])
def test_exact_search_passes_unless_its_index_shows_a_loss(lost: int, passed: bool) -> None:
    gated: Gated = choose([point("exact", 10, 0)], TARGET, losing(exact=lost))
    assert gated.passed is passed
    said = verdict(gated, TARGET, EXACT_COST)
    assert ("every row is compared" in said) is passed
    assert ("does not hold the rows that it was built from" in said) is not passed


def test_wrong_names_are_told_from_a_wrong_recipe() -> None:
    refused = choose([point("scan", 20, 0)], TARGET, losing(scan=500))
    said = verdict(refused, TARGET, EXACT_COST, misnamed=600)
    assert "added FNIR 0.05 (500 of 10000 mates lost), allowed 0.001: not published" in said
    assert "600 of the rows found carry the name of another row" in said
    assert "recipe 'exact'" not in said
    passed = choose([point("scan", 20, 0)], TARGET, losing(scan=1))
    assert verdict(passed, TARGET, EXACT_COST, misnamed=1).endswith("1 of the rows found carry the name of another row")
