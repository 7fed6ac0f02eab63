"""The plan of a GPU's memory: sums that can be checked by hand; no GPU, stand-in or faiss."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.device.gpu_memory import (
    BLOCK,
    LEAST_ALLOCATION,
    Coded,
    Plan,
    cells_plan,
    exact_plan,
    queries_at_once,
    scratch_of,
    sums_plan,
    tile_bytes,
)

MIB, GIB = 1 << 20, 1 << 30
SCRATCH = 1536 * MIB
TEN_MILLION = Coded(rows=10_000_000, cells=4_096, groups=64, out=256, nprobe=256)


def test_ten_million_exact_rows_take_ten_gigabytes() -> None:
    plan = exact_plan("l i shard 0", 10_000_000, 512)
    assert plan.parts == {"rows": 10_240_000_000, "norms": (10_000_000 + BLOCK) * 4}
    assert plan.nbytes == 10_282_097_152


def test_codes_take_their_bytes_and_four_for_the_number_of_a_row() -> None:
    parts = cells_plan("l", TEN_MILLION, SCRATCH).parts
    assert parts["codes"] == 640_000_000
    assert parts["row numbers"] == 40_000_000
    assert parts["cells"] == 4_096 * 2_072
    assert parts["centroids"] == 4_096 * (3 * 256 + 2) * 4
    assert parts["codebook"] == 2 * 256 * 256 * 4
    assert parts["tables beside the scratch"] == 0


def test_tables_that_the_scratch_cannot_hold_for_eight_queries_are_counted_beside_it() -> None:
    """Of one query: a float for each of 256 entries of each group in each probed cell, and for each row there, twice."""
    wide = replace(TEN_MILLION, nprobe=2_048)
    assert cells_plan("l", wide, SCRATCH).parts["tables beside the scratch"] == LEAST_ALLOCATION
    huge = replace(wide, rows=500_000_000)
    query = 2 * (2_048 * (64 * 256 * 4 + 8 + 4 * 500_000_000 // 4_096 * 4) + 8 + 8 * 2_048 * 12)
    assert query > LEAST_ALLOCATION
    assert cells_plan("l", huge, SCRATCH).parts["tables beside the scratch"] == query


def test_no_more_cells_are_probed_than_there_are() -> None:
    few = replace(TEN_MILLION, cells=16)
    assert cells_plan("l", replace(few, nprobe=2_048), SCRATCH) == cells_plan("l", replace(few, nprobe=16), SCRATCH)


def test_a_refusal_has_every_number() -> None:
    plan = Plan("l i shard 0", {"codes": 1_000_000, "row numbers": 500_000})
    assert plan.refusal(2_000_000, 500_000) == ""
    assert plan.refusal(1_999_999, 500_000) == (
        "l i shard 0: needs 1,500,000 bytes (codes 1,000,000, row numbers 500,000) and 500,000 for scratch, "
        "free are 1,999,999"
    )
    assert Plan("encoding", {}).refusal(1, 2) == "encoding: needs 0 bytes and 2 for scratch, free are 1"


@pytest.mark.parametrize(
    ("total", "scratch"), [(80 * GIB, SCRATCH), (24 * GIB, SCRATCH), (8 * GIB, 512 * MIB), (4 * GIB, 256 * MIB)]
)
def test_the_scratch_is_a_sixteenth_and_never_above_what_faiss_takes(total: int, scratch: int) -> None:
    assert scratch_of(total) == scratch


def test_sums_of_a_quarter_million_cells() -> None:
    assert sums_plan(262_144, 512).parts == {"sums": GIB, "a block": 32_768 * (512 * 12 + 8)}


@given(st.integers(1, 4_096), st.sampled_from([256 * MIB, 512 * MIB, 1024 * MIB, SCRATCH]))
def test_a_tiled_search_fits_the_scratch(dim: int, scratch: int) -> None:
    """Rows, queries, and the two buffers of products of 512 queries (1,024 up to 32 dimensions) with the rows."""
    tile = tile_bytes(dim, scratch)
    rows = tile // (dim * 4)
    assert rows >= 1
    assert 2 * tile + rows * 2 * 4 * (1024 if dim <= 32 else 512) <= scratch
    assert tile >= 2_048 * 12 + dim * 4  # faiss wants room for a query with its 2,048 neighbours


@given(st.sampled_from([256 * MIB, 512 * MIB, 1024 * MIB, SCRATCH]))
def test_queries_of_a_flat_search_fit_the_scratch(scratch: int) -> None:
    assert queries_at_once(scratch) * 2 * 4 * BLOCK <= scratch


def test_a_batch_of_the_matcher_is_searched_at_once_where_the_scratch_is_whole() -> None:
    assert queries_at_once(SCRATCH) == 256
    assert queries_at_once(MIB) == 1
