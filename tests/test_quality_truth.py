"""Exact search in blocks, merging, and what does not count, each against the plainest program."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.device.cpu import Cpu
from pipeline.quality import truth
from pipeline.quality.arrays import Lists
from pipeline.quality.persons import NOBODY, Persons
from pipeline.quality.probes import Chosen, ProbeSet, joined
from pipeline.quality.truth import candidates, exact_block, mates_in, merged, ordered


def unit(generator: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    made = generator.standard_normal((rows, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def lists_of(*rows: list[tuple[float, int]]) -> Lists:
    return (
        np.array([[one[0] for one in row] for row in rows], np.float32),
        np.array([[one[1] for one in row] for row in rows], np.int64),
    )


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=30),
    st.integers(1, 6),
    st.data(),
)
def test_merging_partitions_in_any_order_is_one_search(scores: list[float], depth: int, data: st.DataObject) -> None:
    """Few distinct similarities, so that ties are everywhere: the lower number wins."""
    cuts = sorted(data.draw(st.lists(st.integers(1, len(scores)), max_size=4)))
    bounds = [0, *cuts, len(scores)]
    parts = [
        ordered(lists_of([(scores[number], number) for number in range(start, stop)]), depth)
        for start, stop in pairwise(bounds)
        if start < stop
    ]
    total = parts[0]
    for part in data.draw(st.permutations(parts[1:])):
        total = merged(total, part, depth)
    expected = sorted(range(len(scores)), key=lambda number: (-scores[number], number))[:depth]
    assert total[1][0].tolist() == expected
    assert total[0][0].tolist() == [np.float32(scores[number]) for number in expected]


def test_blocks_of_partitions_give_what_one_product_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    rows, queries = unit(generator, 500, 24), unit(generator, 70, 24)
    monkeypatch.setattr(truth, "BLOCK", 32)  # three blocks, the last one shorter
    first = exact_block(Cpu(), queries, rows[:290], 0, 12)
    second = exact_block(Cpu(), queries, rows[290:295], 290, 12)  # fewer rows than are asked for
    third = exact_block(Cpu(), queries, rows[295:], 295, 12)
    assert second[0].shape == (70, 5)
    total = merged(merged(first, second, 12), third, 12)
    scores = queries @ rows.T
    assert np.array_equal(total[1], np.argsort(-scores, axis=1)[:, :12])
    assert np.allclose(total[0], -np.sort(-scores, axis=1)[:, :12], atol=1e-6)


def probe_set(persons: Persons, mates: list[tuple[int, int]], others: list[tuple[int, int]]) -> ProbeSet:
    """Probes by (person, own row)."""
    kinds = []
    for rows in (mates, others):
        person = np.array([row[0] for row in rows], np.int64)
        own = np.array([row[1] for row in rows], np.int64)
        kinds.append(Chosen(np.zeros((len(rows), 2), np.float32), person, own, "made by hand"))
    return joined(kinds[0], kinds[1], persons)


def test_what_does_not_count_by_hand() -> None:
    """Rows 0, 1, 2 are of person 0, row 3 of person 1, row 4 of nobody known."""
    persons = Persons(np.array([0, 0, 0, 1, -1], np.int32), 5)
    probes = probe_set(persons, mates=[(0, 1), (1, -1)], others=[(0, 2), (NOBODY, -1), (-6, 4)])
    row = [(0.9, 1), (0.8, 2), (0.7, 4), (0.6, 3), (0.5, 0)]
    everyone = np.arange(5)
    found = lists_of(*[row] * 5)
    _, numbers = candidates(found, probes, everyone, persons, 3)
    assert numbers.tolist() == [
        [2, 4, 3],  # mated: only its own row is gone, its mates stay
        [1, 2, 4],  # mated and from elsewhere: nothing is gone
        [4, 3, -1],  # not mated: every row of person 0 is gone, and one place stays empty
        [1, 2, 4],  # a stranger meets everybody
        [1, 2, 3],  # a row without a name drops itself alone
    ]
    assert mates_in(numbers, probes, everyone, persons).tolist() == [
        [True, False, False],
        [False, False, False],
        [False, False, False],
        [False, False, False],
        [False, False, False],
    ]


@given(st.data())
def test_what_does_not_count_is_what_a_loop_drops(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 12))
    known = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=total, max_size=total)), np.int32)
    persons = Persons(known, total)
    own = data.draw(st.integers(0, total - 1))
    mated = data.draw(st.booleans())
    person = int(persons.of(np.array([own]))[0])
    probes = probe_set(persons, [(person, own)] * mated, [(person, own)] * (not mated))
    k = data.draw(st.integers(1, 5))
    depth = probes.depth(np.array([0]), k)
    order = data.draw(st.permutations(range(total)))[:depth]
    found = lists_of([(1 - place / 20, number) for place, number in enumerate(order)])
    similarities, numbers = candidates(found, probes, np.array([0]), persons, k)
    same = [one for one in range(total) if one == own or (known[own] >= 0 and known[one] == known[own])]
    dropped = {own} if mated else set(same)
    left = [number for number in order if number not in dropped][:k]
    assert numbers[0].tolist() == left + [-1] * (k - len(left))
    assert similarities[0][len(left) :].tolist() == [-1] * (k - len(left))
    assert len(left) == min(k, total - len(dropped))  # the depth was enough
