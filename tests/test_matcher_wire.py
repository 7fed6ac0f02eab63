"""Requests and answers as bytes: today's round trip, and yesterday's messages."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher import keys
from matcher.announced import announced
from matcher.errors import BY_CODE, BadDescriptor, BadRequest, MatchError, NoIndex, VersionDiffers
from matcher.messages import NotOfTheProtocol, Request, answer, failure, parse, unpacked, vector

GOLDEN = Path(__file__).parent / "golden" / "wire1"
SERVED: dict[str, Any] = {"label": "l", "index_id": "i", "watermark": 3, "shard": 0, "shards": 1}
names = st.one_of(st.text(max_size=40), st.integers(-(2**63), 2**63 - 1))


def flat(**fields: bytes) -> list[bytes]:
    return [part for name, value in fields.items() for part in (name.encode(), value)]


def request(**fields: bytes) -> Request:
    return parse("l:i", b"1700000000123-4", flat(**({"rid": b"r", "response_channel": b"c"} | fields)))


@given(st.text(min_size=1, max_size=20), st.lists(st.tuples(names, st.floats(0, 1)), max_size=20))
def test_answers_come_back_as_they_were_sent(rid: str, result: list[tuple[str | int, float]]) -> None:
    (back,) = unpacked(answer(rid.encode(), SERVED, result))
    assert back == {"rid": rid, **SERVED, "result": [list(pair) for pair in result]}


@given(st.lists(st.lists(st.tuples(names, st.floats(0, 1)), max_size=3), max_size=8))
def test_a_message_holds_any_number_of_answers(results: list[list[tuple[str | int, float]]]) -> None:
    parts = [answer(f"r{number}".encode(), SERVED, result) for number, result in enumerate(results)]
    assert [one["rid"] for one in unpacked(b"".join(parts))] == [f"r{number}" for number in range(len(parts))]


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.__name__)
def test_every_error_travels_with_its_code(kind: type[MatchError]) -> None:
    (back,) = unpacked(failure(b"r", "l", kind("what happened")))
    assert back["error"] == {"error_code": kind.error_code, "desc": kind.desc, "detail": "what happened"}
    assert BY_CODE[back["error"]["error_code"]] is kind


def test_a_request_knows_when_it_was_added_and_who_speaks() -> None:
    one = request(v=b"1", limit=b"7", threshold=b"0.5")
    assert (one.added_ms, one.modern, one.limit(10), one.threshold()) == (1_700_000_000_123, True, 7, 0.5)
    assert not request().modern
    assert request().limit(10) == 10
    assert request().threshold() == -np.inf


@pytest.mark.parametrize("limit", [b"0", b"-1", b"1001", b"ten", b"", b"1e3", b"9" * 5000])
def test_a_limit_out_of_bounds_is_a_bad_request(limit: bytes) -> None:
    with pytest.raises(BadRequest, match="limit: expected"):
        request(limit=limit).limit(1000)


@pytest.mark.parametrize("threshold", [b"high", b"nan", b"0,5"])
def test_a_threshold_that_is_no_number_is_a_bad_request(threshold: bytes) -> None:
    with pytest.raises(BadRequest, match="threshold: expected a number"):
        request(threshold=threshold).threshold()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"response_channel": b"c"}, "rid"),
        ({"rid": b"", "response_channel": b"c"}, "rid"),
        ({"rid": b"\xff\xfe", "response_channel": b"c"}, "rid: expected UTF-8"),
        ({"rid": b"r"}, "response_channel or response_stream, got neither"),
        ({"rid": b"r", "response_stream": b"mine"}, "begins with lim:answer:"),
        ({}, "rid"),
    ],
)
def test_what_nobody_can_answer_is_none_of_the_protocol(fields: dict[str, bytes], why: str) -> None:
    with pytest.raises(NotOfTheProtocol, match=why):
        parse("l:i", b"1-0", flat(**fields))


@pytest.mark.parametrize("kind", ["<f4", "<f2"])
def test_a_descriptor_is_float32_or_float16(kind: str) -> None:
    values = np.linspace(-1, 1, 16).astype(kind)
    found = vector(values.tobytes(), 16, "62")
    assert found.dtype == np.float32
    assert np.array_equal(found, values.astype(np.float32))


def sdk(version: int, payload: bytes) -> bytes:
    return b"dp\0\0" + struct.pack("<I", version) + payload


def test_the_containers_bytes_are_centred_at_128() -> None:
    found = vector(sdk(62, bytes(range(120, 136))), 16, "62")
    assert found.dtype == np.float32
    assert found.tolist() == [float(value) for value in range(-8, 8)]


def test_a_container_of_another_version_is_refused() -> None:
    with pytest.raises(VersionDiffers, match="expected descriptors of version 62, got 59"):
        vector(sdk(59, bytes(16)), 16, "62")
    assert vector(sdk(59, bytes(16)), 16, "arcface-r50").shape == (16,)  # names of models are not the SDK's numbers


@pytest.mark.parametrize("data", [b"", b"\0", bytes(63), bytes(65), sdk(62, bytes(15)), sdk(62, b"")])
def test_other_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(BadDescriptor, match=f"expected 64 bytes of float32 or 32 of float16 .* got {len(data)} bytes"):
        vector(data, 16, "62")


def test_golden_requests_are_read_as_ever() -> None:
    for golden in json.loads((GOLDEN / "requests.json").read_text()):
        fields = {name: bytes.fromhex(value) for name, value in golden["fields"].items()}
        one = parse(golden["stream"], golden["entry"].encode(), flat(**fields))
        expected = golden["read"]
        assert (one.rid.decode(), one.modern, one.limit(1000)) == (
            expected["rid"],
            expected["modern"],
            expected["limit"],
        )
        assert one.threshold() == (expected["threshold"] if expected["threshold"] is not None else -np.inf)
        assert (one.channel.decode(), one.answer_stream.decode()) == (expected["channel"], expected["answer_stream"])
        assert vector(fields["descriptor"], 4, "62").tolist() == expected["descriptor"]


def test_golden_answers_are_read_and_written_as_ever() -> None:
    expected = json.loads((GOLDEN / "answers.json").read_text())
    data = (GOLDEN / "answers.msgpack").read_bytes()
    assert unpacked(data) == expected
    first, second, third = expected
    served = {name: first[name] for name in SERVED}
    written = answer(first["rid"].encode(), served, [tuple(pair) for pair in first["result"]])
    written += answer(second["rid"].encode(), served, [tuple(pair) for pair in second["result"]])
    written += failure(third["rid"].encode(), third["label"], NoIndex(third["error"]["detail"]))
    assert written == data


def test_a_golden_announcement_is_understood() -> None:
    data = (GOLDEN / "announcement.msgpack").read_bytes()
    found = announced([data, None])
    assert {label: list(indexes) for label, indexes in found.items()} == {"guests": ["build-7"]}
    one = found["guests"]["build-7"]
    assert (one.dim, one.shards, one.held, one.missing, one.retired) == (512, 1, {0}, (), False)
    assert msgpack.unpackb(data)["protocol"] == keys.PROTOCOL


def test_names_in_redis_are_those_of_wire_1() -> None:
    assert json.loads((GOLDEN / "keys.json").read_text()) == {
        "index_stream": keys.index_stream("guests", "build-7"), "shard_group": keys.shard_group(3),
        "announcement": keys.announcement("m1"), "matchers": keys.MATCHERS, "serving": keys.serving("guests"),
        "backlog": keys.backlog("guests"), "dead": keys.dead("guests:build-7"), "answer_channel": keys.answer_channel("c"),
        "answer_streams": keys.ANSWER_STREAMS, "protocol": keys.PROTOCOL,
    }  # fmt: skip
