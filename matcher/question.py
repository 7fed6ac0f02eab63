"""A request as the client writes it into a stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

from matcher.errors import BadRequest
from matcher.keys import PROTOCOL, index_stream


class Options(TypedDict, total=False):
    """What a request may say beside label and descriptor."""

    limit: int
    """Candidates wanted, 10 unless said; a matcher sets the most."""
    threshold: float
    """Least similarity of a candidate."""
    timeout_s: float
    """Seconds until the answer is of no use any more."""
    group_by: str
    """`person`: the best face of each person only."""
    min_watermark: int
    """The index must follow its source at least so far."""
    descriptor_version: str
    """Name of the model that made the descriptor; an index of another one refuses it."""
    luna_request_id: str
    """Id for the logs of all services, `<unix time>,<uuid>`."""
    allow_partial: bool
    """At the deadline, answer from the shards that have answered rather than not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Options with their defaults, checked."""

    limit: int = 10
    threshold: float | None = None
    timeout_s: float = 5.0
    group_by: str = ""
    min_watermark: int | None = None
    descriptor_version: str = ""
    luna_request_id: str = ""
    allow_partial: bool = False

    def __post_init__(self) -> None:
        """Raise BadRequest for what no matcher would answer."""
        if self.limit.__class__ is not int or self.limit < 1:
            raise BadRequest(f"limit: expected 1 or more, got {self.limit!r}")
        if not self.timeout_s > 0:
            raise BadRequest(f"timeout_s: expected seconds above 0, got {self.timeout_s!r}")
        if self.threshold is not None and not -2 <= self.threshold <= 2:
            raise BadRequest(f"threshold: expected a cosine, -1 to 1, got {self.threshold!r}")
        if self.group_by not in ("", "person"):
            raise BadRequest(f"group_by: expected person, got {self.group_by!r}")


def word(data: bytes) -> bytes:
    """A bulk string of the Redis protocol."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


@lru_cache(maxsize=4096)
def head(question: Question, label: str, index_id: str, channel: str) -> bytes:
    """All of an XADD but its last three fields, packed: the part that is the same for many requests.

    NOMKSTREAM, because a matcher that serves an index has its stream: adding to one that nobody reads
    would leave a key behind and an unanswered request.
    """
    fields = {
        "v": str(PROTOCOL), "label": label, "index_id": index_id, "response_channel": channel,
        "limit": str(question.limit),
        "threshold": "" if question.threshold is None else repr(question.threshold),
        "group_by": question.group_by, "min_watermark": "" if question.min_watermark is None else str(question.min_watermark),
        "descriptor_version": question.descriptor_version, "luna_request_id": question.luna_request_id,
    }  # fmt: skip
    words = ["XADD", index_stream(label, index_id), "NOMKSTREAM", "*"]
    for name, value in fields.items():
        if value:
            words += [name, value]
    count = len(words) + 6
    return b"*%d\r\n" % count + b"".join(word(text.encode()) for text in words)


def command(start: bytes, rid: str, ttl_ms: int, descriptor: bytes) -> bytes:
    """The whole XADD, packed."""
    ttl = b"%d" % ttl_ms
    name = rid.encode()
    middle = b"$3\r\nrid\r\n$%d\r\n%b\r\n$6\r\nttl_ms\r\n$%d\r\n%b\r\n$10\r\ndescriptor\r\n$%d\r\n" % (
        len(name), name, len(ttl), ttl, len(descriptor),
    )  # fmt: skip
    return b"".join((start, middle, descriptor, b"\r\n"))
