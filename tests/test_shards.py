"""Which rows a shard holds, how many shards there are, and what the codes in them look like."""

from __future__ import annotations

from dataclasses import replace

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PlanImpossible
from pipeline.plan import propose
from pipeline.recipes.candidate import Candidate, Facts
from pipeline.recipes.known import alone_ms, cost, memory, shard_of
from pipeline.search.lists import packed
from pipeline.sharding import extents, pieces

MIB = 1 << 20
FACTS = Facts(rows=4_200_000, dim=512, out=320, recipe="auto", rerank="float16", device="cpu", memory_limit=0)
SPLIT = replace(FACTS, shard_bytes=96 * MIB, partition_rows=25_000)


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 40))
def test_every_row_is_in_one_shard_in_its_place(kept: list[int], shards: int) -> None:
    total, seen = sum(kept), []
    firsts = np.cumsum([0, *kept])
    parts = extents(total, shards)
    assert max(part.rows for part in parts) - min(part.rows for part in parts) <= 1
    for part in parts:
        held: list[int] = []
        for piece in pieces(kept, part):
            assert 0 <= piece.rows.start < piece.rows.stop <= kept[piece.partition]
            assert piece.place == slice(len(held), len(held) + piece.rows.stop - piece.rows.start)
            held += range(firsts[piece.partition] + piece.rows.start, firsts[piece.partition] + piece.rows.stop)
        assert held == list(range(part.first, part.stop))
        seen += held
    assert seen == list(range(total))


def test_as_few_shards_as_their_bytes_allow() -> None:
    found = {one.name: one for one in propose(SPLIT)}
    coded = {one.shards for one in found.values() if one.recipe != "exact"}
    assert coded == {6}  # they share names and rows: as many as the largest needs
    assert found["exact"].shards == 86
    for one in found.values():
        assert memory(shard_of(one)).anonymous <= 96 * MIB
    assert memory(shard_of(replace(found["cells"], shards=5))).anonymous > 96 * MIB
    assert all(Candidate.from_json(one.to_json()) == one for one in found.values())


def test_without_a_limit_or_below_it_there_is_one() -> None:
    assert {one.shards for one in propose(FACTS)} == {1}
    assert {one.shards for one in propose(replace(FACTS, shard_bytes=16 << 30))} == {1}


def test_a_wanted_number_is_taken_whatever_it_takes() -> None:
    assert {one.shards for one in propose(replace(SPLIT, shards=7))} == {7}
    assert {one.shards for one in propose(replace(SPLIT, shards=1))} == {1}


def test_more_shards_than_rows_are_refused() -> None:
    with pytest.raises(
        PlanImpossible, match=r"build.shards: expected at most one shard a row, got 11 shards for 10 rows"
    ):
        propose(replace(FACTS, rows=10, shards=11))
    assert propose(replace(FACTS, rows=10, shards=10))[0].shards == 10


def test_shards_of_less_than_a_partition_are_refused_with_both_numbers() -> None:
    said = r"build.shard_bytes: a shard of 25,000 rows, .* at least 1,\d\d\d,\d\d\d bytes \(scan-coarse\), allowed are 1,000,000: "
    with pytest.raises(PlanImpossible, match=said + "raise it, or lower build.partition_rows"):
        propose(replace(SPLIT, shard_bytes=1_000_000))
    # a list that is shorter than a partition may be one shard
    assert propose(replace(SPLIT, rows=100, shard_bytes=100 * 512 * 4))[0].shards == 1
    with pytest.raises(PlanImpossible, match=r"a shard of 100 rows"):
        propose(replace(SPLIT, rows=100, shard_bytes=100 * 512 * 4 - 1))


def test_a_recipe_whose_shards_are_too_large_is_left_out() -> None:
    names = [one.name for one in propose(replace(SPLIT, shard_bytes=40 * MIB))]
    assert "exact" not in names  # 25,000 rows are 49 MiB of float32
    assert "scan" in names


def test_several_shards_cost_more_together_and_less_time_alone() -> None:
    one, four = propose(replace(FACTS, recipe="cells"))[0], propose(replace(FACTS, recipe="cells", shards=4))[0]
    for point in one.points:
        assert cost(one, point) < cost(four, point) < 4 * cost(one, point)
        assert alone_ms(one, point) / 4 < alone_ms(four, point) < alone_ms(one, point)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 1_000])
@pytest.mark.parametrize("groups", [16, 15])
def test_codes_are_packed_as_faiss_packs_them(rows: int, groups: int) -> None:
    codes = np.random.default_rng(1).integers(0, 256, (rows, -(-groups // 2)), np.uint8)
    if groups % 2:
        codes[:, -1] &= 15
    coarse = faiss.IndexFlatIP(groups)
    coarse.add(np.zeros((1, groups), np.float32))
    plain = faiss.IndexIVFPQ(coarse, groups, 1, groups, 4, faiss.METRIC_INNER_PRODUCT)
    plain.is_trained, numbers = True, np.arange(rows, dtype=np.int64)
    plain.invlists.add_entries(0, rows, faiss.swig_ptr(numbers), faiss.swig_ptr(codes))
    plain.ntotal = rows
    theirs = faiss.IndexIVFPQFastScan(plain)
    ours = packed(codes)
    assert np.array_equal(faiss.rev_swig_ptr(theirs.invlists.get_codes(0), ours.size), ours.ravel())
