"""Requests and answers as they travel."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from matcher.errors import BadDescriptor, BadRequest, MatchError, VersionDiffers
from matcher.keys import ANSWER_STREAMS

Floats = NDArray[np.float32]
SDK_MAGIC = b"dp\0\0"


class NotOfTheProtocol(Exception):
    """A stream entry that cannot be answered, because it names no request or no place for the answer."""


@dataclass(slots=True)
class Request:
    """A request as it was read: cheap to make, checked field by field when it is answered."""

    entry: bytes
    """Stream entry id."""
    stream: str
    rid: bytes
    fields: dict[bytes, bytes]
    group: str = ""
    """The consumer group that it was read for."""

    @property
    def added_ms(self) -> int:
        """When it was added, milliseconds of Redis' clock."""
        return int(self.entry.partition(b"-")[0])

    @property
    def modern(self) -> bool:
        """Whether the client speaks this project's protocol; the original's has no `v`."""
        return b"v" in self.fields

    @property
    def channel(self) -> bytes:
        """Channel of the answer; empty when it goes to a stream."""
        return self.fields.get(b"response_channel", b"")

    @property
    def answer_stream(self) -> bytes:
        """Stream of the answer; empty when it goes to a channel."""
        return self.fields.get(b"response_stream", b"")

    def text(self, name: bytes) -> str:
        """A field of words; empty when it is missing."""
        return self.fields.get(name, b"").decode(errors="replace")

    def number(self, name: bytes, default: int) -> int:
        """An integer field; raises BadRequest."""
        try:
            return int(self.fields.get(name, default))
        except ValueError:
            raise BadRequest(f"{name.decode()}: expected an integer, got {self.fields[name][:40]!r}") from None

    def limit(self, most: int) -> int:
        """How many candidates are wanted; raises BadRequest outside 1 to `most`."""
        limit = self.number(b"limit", 10)
        if not 1 <= limit <= most:
            raise BadRequest(f"limit: expected 1 to {most}, got {limit}")
        return limit

    def threshold(self) -> float:
        """The least similarity of a candidate; -inf when none is asked for.  Raises BadRequest."""
        text = self.fields.get(b"threshold")
        if not text:
            return -np.inf
        try:
            least = float(text)
        except ValueError:
            least = np.nan
        if np.isnan(least):
            raise BadRequest(f"threshold: expected a number, got {text[:40]!r}")
        return least


def parse(stream: str, entry: bytes, flat: Sequence[bytes], group: str = "") -> Request:
    """A request from the flat fields of a stream entry; raises NotOfTheProtocol."""
    pairs = iter(flat)
    fields = dict(zip(pairs, pairs, strict=True))
    rid = fields.get(b"rid")
    if not rid:
        raise NotOfTheProtocol("expected a field rid, got none")
    try:
        rid.decode()
    except UnicodeDecodeError:
        raise NotOfTheProtocol(f"rid: expected UTF-8, got {rid[:40]!r}") from None
    to = fields.get(b"response_stream", b"")
    if to and not to.startswith(ANSWER_STREAMS.encode()):
        raise NotOfTheProtocol(f"response_stream: expected a name that begins with {ANSWER_STREAMS}, got {to[:40]!r}")
    if not to and not fields.get(b"response_channel"):
        raise NotOfTheProtocol("expected a field response_channel or response_stream, got neither")
    return Request(entry, stream, rid, fields, group)


def vector(data: bytes, dim: int, version: str) -> Floats:
    """The descriptor (dim,) float32, not normalised: float32, float16, or the SDK's container of unsigned bytes.

    Raises BadDescriptor when the length fits none, VersionDiffers when the container names another version.
    """
    if data.startswith(SDK_MAGIC) and len(data) == 8 + dim:
        found = struct.unpack_from("<I", data, 4)[0]
        if version.isdigit() and found != int(version):
            raise VersionDiffers(f"expected descriptors of version {version}, got {found}")
        return np.frombuffer(data, np.uint8, offset=8).astype(np.float32) - np.float32(128)
    if len(data) == 4 * dim:
        return np.frombuffer(data, "<f4")
    if len(data) == 2 * dim:
        return np.frombuffer(data, "<f2").astype(np.float32)
    raise BadDescriptor(
        f"expected {4 * dim} bytes of float32 or {2 * dim} of float16 for {dim} dimensions, got {len(data)} bytes"
    )


def answer(rid: bytes, served: dict[str, Any], result: Sequence[tuple[Any, ...]]) -> bytes:
    """A packed answer; `served` names label, index_id, watermark, shard and shards.

    `result` holds pairs of id and similarity.  One of several shards that is asked for people adds whose face it is.
    """
    return msgpack.packb({"rid": rid.decode(), **served, "result": result})  # type: ignore[no-any-return]


def failure(rid: bytes, label: str, error: MatchError, of: Mapping[str, Any] | None = None) -> bytes:
    """A packed refusal; `of` names the index and the shard that refuse, where one does."""
    body = {"error_code": error.error_code, "desc": error.desc, "detail": str(error)}
    refusal = {"rid": rid.decode(errors="replace"), "label": label, **(of or {}), "error": body}
    return msgpack.packb(refusal)  # type: ignore[no-any-return]


def unpacked(data: bytes) -> list[dict[str, Any]]:
    """The answers in one message: one or more maps, one after the other."""
    unpacker = msgpack.Unpacker(None, max_buffer_size=len(data) or 1)
    unpacker.feed(data)
    return list(unpacker)
