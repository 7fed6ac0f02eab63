"""Stage encode: codes by products are faiss' codes; how evenly cells are filled is written down."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import planned

from pipeline.build import run_stage
from pipeline.clustering.balance import balance, balances
from pipeline.device.cpu import Cpu, product_quantiser
from pipeline.device.nibbles import nibbles
from pipeline.progress import Lines
from pipeline.recipes.models import Cells, encoded_key
from pipeline.stage import serial
from pipeline.stages import BUILD
from pipeline.train import models


def distances(rows: np.ndarray, codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    return np.square(product_quantiser(codebook).decode(codes) - rows).sum(axis=1)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1_300), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_products_find_the_codes_that_faiss_finds(count: int, pairs: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    codebook = generator.standard_normal((2 * pairs, 16, width)).astype(np.float32)
    rows = generator.standard_normal((count, 2 * pairs * width)).astype(np.float32)
    codes, theirs = nibbles(rows, codebook), product_quantiser(codebook).compute_codes(rows)
    assert codes.shape == theirs.shape
    assert codes.dtype == theirs.dtype
    if count:
        assert (codes == theirs).mean() > 0.999
        assert np.allclose(distances(rows, codes, codebook), distances(rows, theirs, codebook), rtol=1e-4, atol=1e-4)
    assert Cpu().encode(rows, codebook).tobytes() == codes.tobytes()


@pytest.mark.parametrize("groups", [1, 3])
def test_an_odd_number_of_groups_is_left_to_faiss(groups: int) -> None:
    generator = np.random.default_rng(1)
    codebook = generator.standard_normal((groups, 16, 2)).astype(np.float32)
    rows = generator.standard_normal((100, groups * 2)).astype(np.float32)
    assert np.array_equal(Cpu().encode(rows, codebook), product_quantiser(codebook).compute_codes(rows))


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=50))
def test_imbalance_is_that_of_faiss(sizes: list[int]) -> None:
    found = balance(np.array(sizes))
    numbers = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)  # kept alive while faiss reads it
    assert (found["smallest"], found["largest"], found["rows"]) == (min(sizes), max(sizes), sum(sizes))
    assert found["empty"] == sizes.count(0)
    if len(numbers):
        theirs = faiss.imbalance_factor(len(numbers), len(sizes), faiss.swig_ptr(numbers))
        assert found["imbalance"] == pytest.approx(theirs)


@pytest.mark.timeout(120)
def test_a_build_says_how_evenly_its_cells_are_filled(tmp_path: Path) -> None:
    work = planned(tmp_path, "mixture", 6_000, recipe="cells", partition_rows=2_500, sample_rows=4_000)
    assert balances(work) == {}
    for stage in BUILD[: [one.name for one in BUILD].index("encode") + 1]:
        run_stage(stage, work, serial, Lines())
    (cells,) = [model for model in models(work) if isinstance(model, Cells)]
    found = np.concatenate([work.load(encoded_key(cells, number)) for number in range(work.partitions())])
    assert found.shape == (6_000, 1)
    assert balances(work) == {cells.name: balance(np.bincount(found[:, 0], minlength=cells.count))}
    assert balances(work)[cells.name]["rows"] == 6_000
