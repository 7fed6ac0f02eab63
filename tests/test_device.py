"""One suite for every device that is present: the five verbs."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from pretend_gpu import pretended

from pipeline.device import gpu_found
from pipeline.device.cpu import Cpu
from pipeline.device.gpu import Gpu
from pipeline.device.threads import pinned
from pipeline.device.verbs import FIXED_POINT, Device

ROWS, DIM = 2500, 32
NO_GPU = gpu_found.why_not()
GPUS = 0 if NO_GPU else gpu_found.count()
real = [pytest.mark.gpu, pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)]
DEVICES = (
    "cpu",
    "pretended-0-of-1",
    "pretended-1-of-2",
    *(pytest.param(f"gpu-{number}-of-{GPUS}", marks=real) for number in range(max(GPUS, 1))),
)
CODES = ((8, 8), (16, 8), (8, 4), (16, 4))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """Every device that is present, on one native thread; given rows that nobody may write to."""
    kind, *which = request.param.split("-")
    with pinned(1):
        if kind == "cpu":
            yield Cpu()
        elif kind == "gpu":
            yield Gpu(int(which[0]))
        else:
            with pretended(gpus=int(which[2])):
                yield Gpu(int(which[0]))


@functools.cache
def codebook_of(groups: int, bits: int) -> np.ndarray:
    """One that the CPU trained."""
    return Cpu().train_codes(rows(), groups, bits, seed=1)


@functools.cache
def rows(count: int = ROWS, dim: int = DIM, seed: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wide = generator.standard_normal((count, 6)) @ generator.standard_normal((6, dim))
    wide += generator.standard_normal((count, dim)) * 0.3
    made = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    made.flags.writeable = False
    return made


def test_nearest_is_the_largest_inner_product(device: Device) -> None:
    numbers, similarities = device.nearest(rows(), rows(50, seed=4))
    products = rows() @ rows(50, seed=4).T
    assert numbers.dtype == np.int64
    assert numbers.shape == similarities.shape == (ROWS,)
    np.testing.assert_allclose(similarities, products.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(products[np.arange(ROWS), numbers], products.max(axis=1), atol=1e-5)


def test_sums_are_those_of_python_integers(device: Device) -> None:
    """Against arbitrary precision: exact, whatever the order of additions."""
    cells = np.random.default_rng(1).integers(0, 7, 40)
    total, sizes = device.sums(rows(40), cells, 8)
    for cell in range(8):
        mine = rows(40)[cells == cell].astype(np.float64) * FIXED_POINT
        expected = [sum(round(value) for value in column) for column in mine.T.tolist()]
        assert total[cell].tolist() == (expected or [0] * DIM)
    assert sizes.tolist() == np.bincount(cells, minlength=8).tolist()
    assert total.dtype == sizes.dtype == np.int64


def test_sums_do_not_depend_on_the_order_or_the_cut(device: Device) -> None:
    many = rows(70_000, 8)
    cells = np.random.default_rng(1).integers(0, 7, len(many))
    total, sizes = device.sums(many, cells, 7)
    order = np.random.default_rng(2).permutation(len(many))
    shuffled, same = device.sums(np.ascontiguousarray(many[order]), cells[order], 7)
    assert total.tobytes() == shuffled.tobytes()
    assert sizes.tobytes() == same.tobytes()
    cut = [
        device.sums(np.ascontiguousarray(part), where, 7)[0]
        for part, where in ((many[:9], cells[:9]), (many[9:], cells[9:]))
    ]
    assert total.tobytes() == (cut[0] + cut[1]).tobytes()
    exact = np.stack([many[cells == cell].astype(np.float64).sum(axis=0) for cell in range(7)])
    np.testing.assert_allclose(total / FIXED_POINT, exact, atol=2e-5)


def test_every_device_has_the_sums_of_the_cpu(device: Device) -> None:
    cells = np.random.default_rng(1).integers(0, 9, ROWS)
    assert device.sums(rows(), cells, 9)[0].tobytes() == Cpu().sums(rows(), cells, 9)[0].tobytes()


@pytest.mark.parametrize(("groups", "bits"), CODES)
def test_codes_lose_no_more_than_those_of_faiss(device: Device, groups: int, bits: int) -> None:
    codebook = device.train_codes(rows(), groups, bits, seed=1)
    assert codebook.shape == (groups, 1 << bits, DIM // groups)
    assert codebook.dtype == np.float32
    codes = device.encode(rows(), codebook)
    assert codes.shape == (ROWS, groups * bits // 8)
    assert codes.dtype == np.uint8
    assert ((decoded(codes, codebook) - rows()) ** 2).sum() <= 1.03 * lost_by_faiss(groups, bits) + 1e-3


@functools.cache
def lost_by_faiss(groups: int, bits: int) -> float:
    """The squared error of codes by faiss alone."""
    theirs = faiss.ProductQuantizer(DIM, groups, bits)
    theirs.train(rows())
    return float(((theirs.decode(theirs.compute_codes(rows())) - rows()) ** 2).sum())


def decoded(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """By NumPy alone: two 4-bit entries to a byte, the first in the low half; or one 8-bit entry."""
    entries = codes if codebook.shape[1] == 256 else np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)
    return np.concatenate([codebook[group][entries[:, group]] for group in range(len(codebook))], axis=1)


@pytest.mark.parametrize(("groups", "bits"), CODES)
def test_codes_are_the_nearest_entries_packed_as_faiss_packs_them(device: Device, groups: int, bits: int) -> None:
    codebook = codebook_of(groups, bits)
    codes = device.encode(rows(), codebook)
    theirs = faiss.ProductQuantizer(DIM, groups, bits)
    faiss.copy_array_to_vector(codebook.ravel(), theirs.centroids)
    expected = theirs.compute_codes(rows())
    assert codes.shape == expected.shape
    # entries that are equally near may be chosen differently by another order of additions
    assert (codes == expected).mean() > 0.9999
    np.testing.assert_allclose(decoded(codes, codebook), theirs.decode(codes), atol=1e-7)


@pytest.mark.parametrize("groups", [4, 48, 56, 64, 96, 6])
def test_codes_of_every_width_come_back_in_the_order_of_rows(device: Device, groups: int) -> None:
    """96 bytes need half-precision tables on a GPU, and 6 bytes have no kernel there."""
    wide = rows(600, 2 * groups)
    codebook = np.stack([wide[:256, 2 * group : 2 * group + 2] for group in range(groups)])
    codes = device.encode(np.ascontiguousarray(wide[:256]), codebook)
    np.testing.assert_allclose(decoded(codes, codebook), wide[:256], atol=1e-6)


def test_knn_is_brute_force(device: Device) -> None:
    similarities, numbers = device.knn(rows(20, seed=5), rows(), 15)
    products = rows(20, seed=5) @ rows().T
    np.testing.assert_allclose(similarities, -np.sort(-products, axis=1)[:, :15], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(products, numbers, axis=1), similarities, atol=1e-5)
    assert similarities.dtype == np.float32
    assert numbers.dtype == np.int64


@pytest.mark.parametrize("k", [30, 31, 3000])
def test_knn_gives_no_more_than_there_is(device: Device, k: int) -> None:
    similarities, numbers = device.knn(rows(3, seed=5), rows(30), k)
    assert similarities.shape == numbers.shape == (3, 30)
    assert (np.sort(numbers, axis=1) == np.arange(30)).all()


def test_knn_beyond_what_a_gpu_can_select(device: Device) -> None:
    similarities, numbers = device.knn(rows(2, seed=5), rows(), 2049)
    assert similarities.shape == (2, 2049)
    assert all(len(set(found)) == 2049 for found in numbers.tolist())


def test_no_rows_give_empty_results(device: Device) -> None:
    none = np.empty((0, DIM), np.float32)
    assert device.encode(none, codebook_of(8, 8)).shape == (0, 8)
    assert device.knn(none, rows(), 3)[1].shape == (0, 3)
    assert device.nearest(none, rows(5))[0].shape == (0,)
    total, sizes = device.sums(none, np.empty(0, np.int64), 4)
    assert total.shape == (4, DIM)
    assert not total.any()
    assert sizes.tolist() == [0, 0, 0, 0]


def test_the_same_call_gives_the_same_bytes(device: Device) -> None:
    def everything() -> list[bytes]:
        codebook = device.train_codes(rows(), 8, 8, seed=7)
        numbers, similarities = device.nearest(rows(), rows(50, seed=4))
        return [one.tobytes() for one in (codebook, device.encode(rows(), codebook), numbers, similarities)]

    assert everything() == everything()


WRONG = {
    "rows of doubles": (lambda one: one.nearest(rows().astype(np.float64), rows(5)), "C-contiguous"),
    "rows of another dimension": (lambda one: one.nearest(rows(), rows(5, 16)), "expected 16 columns, got 32"),
    "one row": (lambda one: one.knn(rows()[0], rows(), 1), "C-contiguous"),
    "columns first": (lambda one: one.sums(np.asfortranarray(rows()), np.zeros(ROWS, np.int64), 1), "C-contiguous"),
    "too few cells": (lambda one: one.sums(rows(), np.zeros(3, np.int64), 1), r"expected \(2500,\) integers"),
    "a cell too high": (lambda one: one.sums(rows(2), np.array([0, 4]), 4), "expected numbers from 0 to 3, got 0 to 4"),
    "a negative cell": (lambda one: one.sums(rows(2), np.array([0, -1]), 4), "from 0 to 3, got -1 to 0"),
    "codes of another dimension": (
        lambda one: one.encode(rows(9, 16), np.zeros((8, 256, 4), np.float32)),
        "expected 32 columns",
    ),
    "training on a vector": (lambda one: one.train_codes(rows()[0], 8, 4, seed=1), "C-contiguous"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_refused(device: Device, name: str) -> None:
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call(device)
