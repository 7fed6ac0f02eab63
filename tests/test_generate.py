"""The face-like generator: what it makes, and that it always makes the same."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import erf
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.generate.blas import one_thread
from pipeline.generate.faces import BLOCK, Generator, blend_kin, phi, unit
from pipeline.generate.making import gallery, probes
from pipeline.generate.regimes import GenerateError, fitted, mates, wide

ALL = [Generator("mixture", 3), Generator("tree", 3), Generator("wide", 3, 64), Generator("isotropic", 3, 48)]
NAMES = [generator.regime for generator in ALL]
Rows = NDArray[np.float32]


def nearest(rows: Rows) -> Rows:
    """Similarity of each row to the one most like it."""
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -1)
    best: Rows = similarities.max(axis=1)
    return best


@pytest.mark.parametrize(
    ("regime", "median", "p95"), [("mixture", 0.350, 0.409), ("tree", 0.389, 0.482)], ids=["mixture", "tree"]
)
def test_nearest_impostors_are_as_published(regime: str, median: float, p95: float) -> None:
    """5,000 people, one photo each: the figures published with the fitted parameters."""
    best = nearest(Generator(regime, 1).rows(0, 5_000).descriptors.astype(np.float32))
    assert np.median(best) == pytest.approx(median, abs=0.006)
    assert np.percentile(best, 95) == pytest.approx(p95, abs=0.012)


@pytest.mark.parametrize("regime", ["mixture", "tree"])
def test_mates_and_impostors_are_as_alike_as_in_the_reference(regime: str) -> None:
    """The formulas give .658 ± .12 for two photos of a person; the real photos they were fitted to .684 ± .097."""
    generator = Generator(regime, 2)
    one = generator.rows(0, 5_000).descriptors.astype(np.float32)
    other = generator.probes(np.arange(5_000)).descriptors.astype(np.float32)
    mated = np.einsum("ij,ij->i", one, other)
    assert mated.mean() == pytest.approx(0.658, abs=0.006)
    assert mated.std() == pytest.approx(0.118, abs=0.006)
    impostors = (one @ other.T)[~np.eye(5_000, dtype=bool)]
    assert impostors.mean() == pytest.approx(0.009, abs=0.005)
    assert impostors.std() == pytest.approx(0.097, abs=0.004)


@pytest.mark.parametrize("generator", ALL, ids=NAMES)
def test_photos_are_as_far_from_their_person_as_the_quantile_function_says(generator: Generator) -> None:
    centres = np.concatenate([generator.people(block).centres for block in range(8)])
    cosines = np.einsum("ij,ij->i", centres, generator.rows(0, 8 * BLOCK).descriptors.astype(np.float32))
    expected = np.interp([0.1, 0.5, 0.9], np.linspace(0, 1, 257), generator.mates.quantiles)
    np.testing.assert_allclose(np.quantile(cosines, [0.1, 0.5, 0.9]), expected, atol=0.02)


@pytest.mark.parametrize("generator", ALL, ids=NAMES)
def test_rows_are_of_unit_norm_and_well_named(generator: Generator) -> None:
    faces = generator.chunk(1, 300)
    assert faces.descriptors.shape == (300, generator.dim)
    assert faces.descriptors.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(faces.descriptors.astype(np.float32), axis=1), 1, atol=1e-3)
    assert faces.people[:2] == ["p000000300", "p000000301"]
    assert {(UUID(name).version, UUID(name).variant) for name in faces.ids} == {(8, "specified in RFC 4122")}
    assert len(set(faces.ids)) == 300


@pytest.mark.parametrize("generator", ALL, ids=NAMES)
def test_neither_order_nor_size_of_chunks_changes_a_bit(generator: Generator) -> None:
    whole = generator.rows(0, 1_100)
    for start, stop in ((700, 1_100), (0, 1), (249, 251), (100, 700)):
        part = generator.rows(start, stop)
        np.testing.assert_array_equal(part.descriptors, whole.descriptors[start:stop])
        assert part.ids == whole.ids[start:stop]
        assert part.people == whole.people[start:stop]


def test_threads_do_not_change_a_bit() -> None:
    generator = Generator("tree", 9)
    with ThreadPoolExecutor(4) as pool:
        chunks = list(pool.map(lambda number: generator.chunk(number, 333), range(6)))
    expected = generator.rows(0, 6 * 333)
    np.testing.assert_array_equal(np.concatenate([chunk.descriptors for chunk in chunks]), expected.descriptors)


def blas_threads() -> list[int]:
    """Of NumPy's own BLAS: other libraries of the process, such as OpenCV, bring theirs."""
    return [pool["num_threads"] for pool in threadpool_info() if "numpy" in pool["filepath"]]


def test_threads_of_blas_change_no_bit_and_are_given_back() -> None:
    generator = Generator("mixture", 3)
    with threadpool_limits(limits=1, user_api="blas"):
        expected = generator.rows(0, 3_000)
    with threadpool_limits(limits=4, user_api="blas"):
        with one_thread():
            np.testing.assert_array_equal(generator.rows(0, 3_000).descriptors, expected.descriptors)
            assert blas_threads() == [1]  # the inner block did not lift the outer one's limit
        assert blas_threads() == [4]
        np.testing.assert_array_equal(generator.rows(0, 3_000).descriptors, expected.descriptors)
        assert blas_threads() == [4]


def test_another_process_makes_the_same() -> None:
    code = (
        "import hashlib; from pipeline.generate.making import probes; from pipeline.generate.faces import Generator;"
        "faces = next(iter(probes(Generator('tree', 4), 2_000, 100)));"
        "print(hashlib.sha256(faces.descriptors.tobytes() + ''.join(faces.ids).encode()).hexdigest())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    faces = next(iter(probes(Generator("tree", 4), 2_000, 100)))
    assert output.strip() == hashlib.sha256(faces.descriptors.tobytes() + "".join(faces.ids).encode()).hexdigest()


def test_seeds_photos_and_regimes_differ() -> None:
    generator = Generator("mixture", 3)
    first = generator.rows(0, 50)
    for other in (replace(generator, seed=4).rows(0, 50), generator.photos(np.arange(50), 2), ALL[1].rows(0, 50)):
        assert not set(first.ids) & set(other.ids)
        assert (first.descriptors != other.descriptors).any(axis=1).all()


def test_probes_are_other_photos_of_the_people_asked_for() -> None:
    generator = Generator("mixture", 3)
    people = np.array([901, 7, 7, 30_000])
    faces = generator.probes(people)
    assert faces.people == ["p000000901", "p000000007", "p000000007", "p000030000"]
    np.testing.assert_array_equal(faces.descriptors[1], faces.descriptors[2])
    shown = np.concatenate([generator.rows(person, person + 1).descriptors for person in people]).astype(np.float32)
    similarities = shown @ faces.descriptors.astype(np.float32).T
    assert (np.diag(similarities) > 0.3).all()
    assert abs(similarities[0, 1]) < 0.3


def test_one_person_s_photos_share_their_quality() -> None:
    """rho of the quality is the person's: people whose photos are far from their centre stay so."""
    generator = Generator("isotropic", 3, 32)
    people = np.arange(5_000)
    centres = np.concatenate([generator.people(block).centres for block in range(20)])
    photos = [generator.photos(people, photo).descriptors.astype(np.float32) for photo in (0, 1)]
    ranks = [np.argsort(np.argsort(np.einsum("ij,ij->i", centres, rows))) for rows in photos]
    correlation = np.asarray(np.corrcoef(ranks[0], ranks[1]))[0, 1]
    assert correlation == pytest.approx(generator.mates.rho, abs=0.05)


def test_a_tree_has_families() -> None:
    """People of one leaf's branch are more alike than others; a mixture of the same size has fewer look-alikes."""
    tree = nearest(ALL[1].rows(0, 3_000).descriptors.astype(np.float32))
    mixture = nearest(ALL[0].rows(0, 3_000).descriptors.astype(np.float32))
    assert np.percentile(tree, 99) > np.percentile(mixture, 99) + 0.05
    model = fitted("tree")
    assert [len(table) for table in model.tables] == [16, 128, 1_024, 8_192, 65_536]
    assert np.square(model.weights).sum() == pytest.approx(1)


def test_wide_has_the_spectrum_it_states() -> None:
    factor = wide(64).astype(np.float64)
    variances = np.linalg.eigvalsh(factor.T @ factor)[::-1]
    np.testing.assert_allclose(variances, np.arange(1, 65.0) ** -0.2, rtol=1e-4)
    rows = ALL[2].rows(0, 6_000).descriptors.astype(np.float64)
    spectrum = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    expected = np.arange(1, 65.0) ** -0.2
    np.testing.assert_allclose(spectrum / spectrum.sum(), expected / expected.sum(), rtol=0.15)


def test_kin_are_as_alike_as_stated_and_nobody_is_when_p_kin_is_0() -> None:
    assert mates("tree").p_kin == mates("mixture").p_kin == 0
    random = np.random.default_rng(1)
    centres = random.standard_normal((BLOCK, 512), np.float32)
    unit(centres)
    before = centres.copy()
    blend_kin(centres, replace(mates("tree"), p_kin=0.3), random)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    changed = np.flatnonzero((centres != before).any(axis=1))
    assert 0.2 * BLOCK < len(changed) < 0.4 * BLOCK
    others = np.setdiff1d(np.arange(BLOCK), changed)
    likeness = (centres[changed] @ centres[others].T).max(axis=1)
    assert likeness.min() > 0.29
    assert likeness.max() < 0.61
    assert np.median(likeness) == pytest.approx(0.45, abs=0.06)


def test_a_generator_with_kin_makes_them() -> None:
    generator = Generator("isotropic", 3, 128)
    object.__setattr__(generator, "mates", replace(generator.mates, p_kin=1.0))
    centres = generator.people(0).centres
    assert (nearest(centres)[1:] > 0.29).all()


def test_phi_is_the_normal_distribution_to_its_stated_error() -> None:
    z = np.linspace(-8, 8, 4_001)
    expected = np.array([(1 + erf(value / 2**0.5)) / 2 for value in z])
    assert np.abs(phi(z) - expected).max() < 7.5e-8


def test_galleries_and_probes_come_in_order() -> None:
    generator = Generator("isotropic", 8, 16)
    chunks = list(gallery(generator, 60_000, threads=3))
    assert [len(chunk.ids) for chunk in chunks] == [25_000, 25_000, 10_000]
    np.testing.assert_array_equal(chunks[2].descriptors, generator.rows(50_000, 60_000).descriptors)
    wanted = [name for chunk in probes(generator, 60_000, 12_000) for name in chunk.people]
    assert wanted == sorted(set(wanted))
    assert len(wanted) == 12_000
    assert wanted[-1] > "p000059900"


def test_a_generator_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(ALL[2]))  # noqa: S301
    np.testing.assert_array_equal(again.rows(0, 5).descriptors, ALL[2].rows(0, 5).descriptors)


@pytest.mark.parametrize(
    ("regime", "seed", "dim", "message"),
    [
        ("circle", 1, 512, "expected one of mixture, tree, wide, isotropic, got 'circle'"),
        ("tree", 1, 128, "dim: expected 512 for tree, got 128; wide and isotropic take any"),
        ("wide", -1, 128, "seed: expected a number from 0, got -1"),
        ("wide", 1, 1, "dim: expected at least 2, got 1"),
    ],
)
def test_what_cannot_be_made(regime: str, seed: int, dim: int, message: str) -> None:
    with pytest.raises(GenerateError, match=message):
        Generator(regime, seed, dim)


def test_more_probes_than_people() -> None:
    with pytest.raises(GenerateError, match="at most one probe for each of the 10 people, got 11"):
        list(probes(ALL[3], 10, 11))
    with pytest.raises(GenerateError, match="expected numbers from 0, got -2"):
        ALL[3].probes(np.array([-2]))
