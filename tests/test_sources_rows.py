"""Cutting a listing into ranges, and giving rows unit norm."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.sources.normalise import BLOCK, Scale, normalise
from pipeline.sources.rows import InputFile, Range, Reject, cut

AS_IS = Scale(0.0, 0.0)


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 25))
def test_ranges_cover_every_row_of_every_file_once_and_in_order(sizes: list[int], partition_rows: int) -> None:
    files = [InputFile(f"file:///{number}", 1, f"t{number}", rows) for number, rows in enumerate(sizes)]
    ranges = cut(files, partition_rows, 4)
    seen = [(piece.url, row) for part in ranges for piece in part.pieces for row in range(piece.start, piece.stop)]
    assert seen == [(file.url, row) for file in files for row in range(file.rows)]
    assert [part.start for part in ranges] == list(range(0, sum(sizes), partition_rows))
    assert all(part.stop - part.start == partition_rows for part in ranges[:-1])
    for part in ranges:
        assert part.stop - part.start == sum(piece.stop - piece.start for piece in part.pieces)


def test_a_range_survives_json() -> None:
    (part,) = cut([InputFile("memory:///a", 9, "x", 3), InputFile("memory:///b", 9, "y", 2)], 10, 4)
    assert Range(**json.loads(json.dumps(asdict(part)))) == part
    assert (part.first_row, part.pieces[1].token) == (0, "y")


def test_a_reject_has_a_stable_form() -> None:
    assert asdict(Reject(7, "a", "norm 0")) == {"row": 7, "id": "a", "reason": "norm 0"}


@given(
    arrays(np.float32, st.tuples(st.integers(0, 7), st.just(5)), elements=st.floats(allow_subnormal=False, width=32))
)
def test_every_row_is_of_unit_norm_or_has_a_reason(raw: np.ndarray) -> None:
    out = np.zeros(raw.shape, np.float16)
    bad = normalise(raw, AS_IS, out)
    good = [number for number in range(len(raw)) if number not in bad]
    wide = raw[good].astype(np.longdouble)
    expected = wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(out[good], expected.astype(np.float64), atol=6e-4)
    finite = np.isfinite(raw).all(axis=1) & (raw != 0).any(axis=1)
    assert good == np.flatnonzero(finite).tolist()


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_the_length_of_a_vector_does_not_matter(size: float) -> None:
    raw = np.random.default_rng(1).standard_normal((BLOCK + 3, 16)).astype(np.float64)
    one, other = np.empty(raw.shape, np.float16), np.empty(raw.shape, np.float16)
    assert normalise(raw, AS_IS, one) == normalise(raw * size, AS_IS, other) == {}
    np.testing.assert_allclose(one.astype(np.float32), other.astype(np.float32), atol=5e-4)


def test_rows_are_the_same_whatever_stands_around_them() -> None:
    raw = np.random.default_rng(2).standard_normal((600, 48)).astype(np.float16)
    whole, alone = np.empty(raw.shape, np.float16), np.empty((1, 48), np.float16)
    normalise(raw, AS_IS, whole)
    for number in (0, 255, 256, 599):
        normalise(raw[number : number + 1], AS_IS, alone)
        np.testing.assert_array_equal(whole[number], alone[0])


def test_reasons_hold_the_figures() -> None:
    raw = np.ones((3, 4), np.float32)
    raw[1] = [np.nan, np.inf, 1, 1]
    raw[2] = 0
    bad = normalise(raw, AS_IS, np.empty(raw.shape, np.float16))
    assert bad == {
        1: "expected numbers, got NaN or infinity in 2 of 4 components",
        2: "expected a direction, got norm 0 (all 4 components are 0)",
    }


def test_integers_are_shifted_before_they_are_scaled() -> None:
    raw = np.array([[128, 131], [124, 128], [128, 128]], np.uint8)
    out = np.empty(raw.shape, np.float16)
    assert list(normalise(raw, Scale(0.5, 128.0), out)) == [2]
    np.testing.assert_array_equal(out[:2], [[0, 1], [-1, 0]])
