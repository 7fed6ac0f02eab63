"""What the client puts on the wire, and what it refuses to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import hiredis
import numpy as np
import pytest

from matcher.errors import BadDescriptor, BadRequest
from matcher.messages import SDK_MAGIC
from matcher.probe_bytes import pack
from matcher.question import Options, Question, command, head

rng = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_descriptor_travels_with_unit_norm(dtype: type[Any]) -> None:
    row = (rng.standard_normal(512) * 7).astype(dtype)
    data = pack(row, 512)
    got = np.frombuffer(data, np.float16 if dtype is np.float16 else np.float32).astype(np.float64)
    wanted = row.astype(np.float64) / np.linalg.norm(row.astype(np.float64))
    assert np.abs(got - wanted).max() < (1e-4 if dtype is np.float16 else 1e-7)


def test_what_has_unit_norm_travels_bit_for_bit() -> None:
    row = rng.standard_normal(512).astype(np.float32)
    row /= np.linalg.norm(row)
    assert pack(row, 512) == row.tobytes()
    assert pack(row.astype(np.float16), 0) == row.astype(np.float16).tobytes()


def test_half_the_bytes_cost_less_than_a_ten_thousandth_of_similarity() -> None:
    rows = rng.standard_normal((500, 512))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    half = np.stack([np.frombuffer(pack(row, 512), np.float16) for row in rows.astype(np.float16)]).astype(np.float64)
    assert np.abs(half @ rows.T - rows @ rows.T).max() < 1e-4


def test_extreme_but_honest_lengths_have_a_direction() -> None:
    tiny = np.array([3e-30, 4e-30], np.float32)
    huge = np.array([3e30, 4e30], np.float32)
    for row in (tiny, huge, [3, 4], np.array([3e-300, 4e-300]), np.array([3e300, 4e300])):
        data = pack(row, 2)
        assert np.frombuffer(data, np.float32) == pytest.approx([0.6, 0.8], abs=1e-6)


def test_a_container_of_the_sdk_travels_as_it_is() -> None:
    data = SDK_MAGIC + (62).to_bytes(4, "little") + bytes(512)
    assert pack(data, 512) == data


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (np.zeros(4, np.float32), r"norm 0 \(all 4 components"),
        (np.array([1, np.nan], np.float32), "NaN or infinity in 1 of 2 components"),
        (np.array([1, np.inf]), "NaN or infinity in 1 of 2 components"),
        (np.ones((2, 4), np.float32), r"a descriptor of dim numbers, got shape \(2, 4\)"),
        (np.ones(0, np.float32), r"norm 0 \(all 0"),
        (np.ones(4, np.uint8), "expected floats, got uint8"),
        (["a", "b"], "expected floats, got <U1"),
        (b"nonsense", "expected bytes that begin with"),
    ],
)
def test_what_has_no_direction_is_refused(descriptor: Any, message: str) -> None:
    with pytest.raises(BadDescriptor, match=message):
        pack(descriptor, 0)


@pytest.mark.parametrize("descriptor", [np.ones(63), np.ones((1, 64)), np.ones(0), SDK_MAGIC + bytes(4 + 63)])
def test_another_dimension_is_refused_with_both_numbers(descriptor: Any) -> None:
    with pytest.raises(BadDescriptor, match=r"expected a (descriptor|payload) of 64 (numbers|bytes), got"):
        pack(descriptor, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit: expected 1 or more, got 0"),
        ({"limit": 2.5}, "limit: expected 1 or more, got 2.5"),
        ({"timeout_s": 0}, "timeout_s: expected seconds above 0, got 0"),
        ({"threshold": 3.0}, "threshold: expected a cosine, -1 to 1, got 3.0"),
        ({"threshold": float("nan")}, "threshold: expected a cosine"),
        ({"group_by": "house"}, "group_by: expected person, got 'house'"),
    ],
)
def test_options_out_of_bounds_are_refused(options: Options, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        Question(**options)


def test_the_command_is_what_a_redis_client_would_pack() -> None:
    question = Question(limit=3, threshold=0.25, group_by="person", min_watermark=0, luna_request_id="1700000000,x")
    got = command(head(question, "mine", "one", "lim:answers:c"), "c-1", 5000, b"\0\r\n\xff")
    words: list[str | bytes] = [
        "XADD", "mine:one", "NOMKSTREAM", "*", "v", "1", "label", "mine", "index_id", "one",
        "response_channel", "lim:answers:c", "limit", "3", "threshold", "0.25", "group_by", "person", "min_watermark", "0",
        "luna_request_id", "1700000000,x", "rid", "c-1", "ttl_ms", "5000", "descriptor", b"\0\r\n\xff",
    ]  # fmt: skip
    assert got == hiredis.pack_command(tuple(words))


def test_the_client_needs_neither_faiss_nor_pyarrow_nor_dask() -> None:
    code = (
        "import sys, matcher.client, matcher.client_sync\n"
        "print([name for name in ('faiss', 'pyarrow', 'dask', 'distributed', 'rich') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
