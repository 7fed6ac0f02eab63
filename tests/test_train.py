"""Training in pieces: the same bytes together or apart, here or on a cluster, and as good as faiss' own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trainings import OUT, done, planned, rows_of

from configs.settings import Dask
from pipeline.clustering import codebooks, partial
from pipeline.clustering.codebooks import Quantiser, codebook_items
from pipeline.clustering.projected import FEW, Learned, extremes
from pipeline.clustering.rounds import Lloyd
from pipeline.clustering.sampled import Group, groups, sample_size, shares, whole_sample
from pipeline.clustering.two_level import TwoLevel, apportioned
from pipeline.device.cpu import Cpu
from pipeline.device.threads import pinned
from pipeline.errors import PlanImpossible
from pipeline.graph import cluster, on_dask
from pipeline.kmeans import Partial
from pipeline.workspace import Work

APART = 0.0
"""A Lloyd of `together` 0 is never one item."""

MOST_BYTES = 1 << 20
"""Of a task's arguments."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """41,000 rows of families of look-alikes, sampled whole, in five groups."""
    return planned(tmp_path_factory.mktemp("tree"), "tree", 41_000, partition_rows=3_000, sample_rows=40_960)


@pytest.fixture(scope="module")
def learned(work: Work) -> Learned:
    return Learned(sample_size(work), OUT)


def mean_similarity(rows: np.ndarray, centroids: np.ndarray) -> float:
    return float(Cpu().nearest(rows, np.ascontiguousarray(centroids))[1].mean())


def of_faiss(rows: np.ndarray, cells: int) -> float:
    with pinned(1):
        theirs = faiss.Kmeans(rows.shape[1], cells, niter=10, spherical=True, seed=1)
        theirs.train(rows)
    return mean_similarity(rows, theirs.centroids)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("cells", [256, 1_024])
def test_the_objective_is_within_half_a_percent_of_faiss(work: Work, learned: Learned, cells: int) -> None:
    done(work, Lloyd(f"flat-{cells}", cells, learned).items(work, 1))
    rows = rows_of(work, learned)
    assert mean_similarity(rows, work.load(f"models/flat-{cells}.npy")) >= 0.995 * of_faiss(rows, cells)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("cells", "count"), [(1_500, 16_000), pytest.param(4_000, 40_960, marks=pytest.mark.drill)])
def test_the_objective_of_two_levels_is_within_half_a_percent_of_faiss(work: Work, cells: int, count: int) -> None:
    learned = Learned(count, OUT)
    two = TwoLevel(f"two-{cells}", cells, learned)
    done(work, two.items(work, 1))
    rows, found = rows_of(work, learned), two.trained(work)
    assert found.centroids.shape == (cells, OUT)
    assert np.allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-5)
    assert mean_similarity(rows, found.centroids) >= 0.995 * of_faiss(rows, cells)
    numbers, _ = found.nearest(rows, Cpu())
    assert (numbers == Cpu().nearest(rows, found.centroids)[0]).mean() > 0.99
    assert (found.family_of(np.arange(cells)) == Cpu().nearest(found.centroids, found.centres)[0]).mean() > 0.999


@pytest.mark.timeout(120)
def test_on_a_cluster_and_apart_the_same_bytes_come_out(tmp_path: Path) -> None:
    """Rounds in one item, rounds in many items, both, and two levels, on two processes in any order."""
    work = planned(tmp_path, "mixture", 20_000, partition_rows=2_000, sample_rows=18_000)
    learned, names = Learned(18_000, OUT), ("one", "apart", "two", "codes")
    made = []

    def items() -> list:
        two = TwoLevel("two", 300, learned)
        every = [
            *Lloyd("one", 64, learned).items(work, 1), *Lloyd("apart", 64, learned, APART).items(work, 1), *two.items(work, 1),
            *codebook_items(Quantiser("codes", OUT, 12, 8), work, 1),
        ]  # fmt: skip
        assert max(len(pickle.dumps(item)) for item in every) < MOST_BYTES
        return every

    done(work, items())
    made.append([work.read(f"models/{name}.npy") for name in names])
    with cluster(Dask(workers=2)) as client:
        done(work, items(), on_dask(client))
    made.append([work.read(f"models/{name}.npy") for name in names])
    assert made[0] == made[1]
    assert made[0][0] == made[0][1]


def test_codebooks_are_the_same_however_their_groups_are_spread(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for each in (128, 7, 16):
        monkeypatch.setitem(codebooks.GROUPS, 4, each)
        items = done(work, codebook_items(Quantiser("spread", OUT, OUT // 2, 4), work, 1))
        assert len(items) == (1 if each > OUT // 2 else -(-OUT // 2 // each) + 1)
        found.append(work.read("models/spread.npy"))
    assert found[0] == found[1] == found[2]
    assert work.load("models/spread.npy").shape == (OUT // 2, 16, 2)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 20), st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_partial_sums_add_up_in_any_order(
    work: Work, cells: int, parts: int, slice_rows: int, order: list[int], seed: int
) -> None:
    """Through the bucket, in slices of any size, as in memory: bit for bit."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((60, 5)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centroids = np.ascontiguousarray(rows[:cells])
    numbers, products = Cpu().nearest(rows, centroids)
    cut = np.sort(generator.integers(0, 61, parts - 1))
    keys = [f"any/{number}" for number in range(parts)]
    for key, some in zip(keys, np.split(np.arange(60), cut), strict=True):
        one = np.ascontiguousarray(rows[some])
        partial.write(work, key, Partial(*Cpu().sums(one, numbers[some], cells), int(products[some].size)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partial, "SLICE_BYTES", slice_rows * 8)
        found = partial.added(work, [keys[number] for number in order if number < parts], cells, 5)
    sums, sizes = Cpu().sums(rows, numbers, cells)
    assert found.sums.tobytes() == sums.tobytes()
    assert found.sizes.tobytes() == sizes.tobytes()
    assert found.objective == 60
    assert found.moved([1]).tobytes() == Partial(sums, sizes, 0).moved([1]).tobytes()


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.integers(0, 5_000))
def test_cells_are_shared_out_by_rows(rows: list[int], spare: int) -> None:
    """One for each family at least, all of them, and no family is further than one from its exact share of the rest."""
    found = apportioned(np.array(rows), len(rows) + spare)
    assert found.sum() == len(rows) + spare
    assert (found >= 1).all()
    if sum(rows):
        assert np.abs(found - 1 - np.array(rows) * spare / sum(rows)).max() <= 1 + 1e-9


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(1, 9_000), st.data())
def test_an_even_spread_over_groups_is_that_over_the_list(sizes: list[int], wanted: int, data: st.DataObject) -> None:
    total = max(sum(sizes), 1)
    positions = np.arange(total)
    firsts = np.cumsum([0, *sizes])
    found = [
        positions[first : first + size][Group(0, range(0), int(first), size).spread(total, wanted)]
        for first, size in zip(firsts, sizes, strict=False)
    ]
    least = min(wanted, total)
    if sum(sizes):
        assert np.concatenate(found).tolist() == (np.arange(least) * total // least).tolist()


def test_the_sample_is_an_even_share_of_every_partition(work: Work) -> None:
    each = shares(work)
    assert sum(each) == sample_size(work) == 40_960
    assert max(abs(count - kept * 40_960 / 41_000) for count, kept in zip(each, work.census()["kept"], strict=True)) < 1
    whole = whole_sample(work)
    assert len(np.unique(whole, axis=0)) == len(np.unique(work_rows(work), axis=0)) - 40
    assert np.array_equal(extremes(work), np.stack([whole.min(axis=0), whole.max(axis=0)]).astype(np.float32))
    assert [group.first for group in groups(work)] == np.cumsum([0, *(one.rows for one in groups(work))])[:-1].tolist()
    assert {number for group in groups(work) for number in group.parts} == set(range(work.partitions()))


def work_rows(work: Work) -> np.ndarray:
    return np.concatenate([work.rows(number) for number in range(work.partitions())])


def test_few_rows_are_the_same_for_all_who_need_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large sample keeps few rows apart; what is learned from them is spread over the whole."""
    monkeypatch.setattr("pipeline.clustering.projected.FEW", 1_000)
    work = planned(tmp_path, "mixture", 9_000, partition_rows=1_000, sample_rows=9_000)
    assert FEW > 9_000
    assert Learned(500, OUT).count(work) == 500
    few, every = rows_of(work, Learned(500, OUT)), rows_of(work, Learned(9_000, OUT))
    assert np.array_equal(few, every[np.arange(500) * 1_000 // 500 * 9_000 // 1_000])


def test_a_sample_too_small_for_the_cells_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(PlanImpossible, match=r"128 cells need at least 1024 training rows, the sample has 1000: raise"):
        from_cells(tmp_path, sample_rows=1_000)


def from_cells(folder: Path, **fields: object) -> Work:
    return planned(folder, "mixture", 6_000, **{"recipe": "cells", **fields})


def test_items_of_a_round_follow_from_the_spec_alone(work: Work, learned: Learned) -> None:
    """So that a build that is continued elsewhere finds the same ones."""
    apart = Lloyd("apart", 64, learned, APART)
    again = Work(work.bucket, replace(work.spec))
    assert list(apart.items(work, 1)) == list(apart.items(again, 1))
    assert max(item.wave for item in apart.items(work, 1)) == apart.waves(work)
