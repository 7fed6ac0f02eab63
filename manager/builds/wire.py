"""What the leading manager tells the drivers of its builds, what they tell it, each with its length before it."""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pipeline.order import Order

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Lease:
    """The manager certainly leads until then, by `manager.leading.lease.now`; nothing is to work any longer."""

    until: float


@dataclass(frozen=True, slots=True)
class Job:
    """A build to run."""

    order: Order
    options: dict[str, str] = field(default_factory=dict)
    """Settings of this build over those in force."""
    rows: int = 0
    """Of the list when somebody looked; 0 = unknown."""
    priority: int = 0
    """Of its items on the cluster; higher goes first."""


@dataclass(frozen=True, slots=True)
class TermsWanted:
    """The driver is about to publish; the answer is `pipeline.spec.Terms`."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far a build is; what `Tasks.progress` takes."""

    stage: str = ""
    items: int = 0
    finished: int = 0
    rows_per_s: float = 0.0
    eta_s: float = -1.0
    """Seconds that the stage will take still; -1 = unknown."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a build ended: `error_code` 0 with rows and digest, or a code of `pipeline.indexer.errors` with the reason."""

    error_code: int
    detail: str = ""
    rows: int = 0
    digest: str = ""
    again: bool = False
    """Whether another attempt may help."""
    stale: bool = False
    """Another manager leads: the task is its affair by now."""


def packed(message: object) -> bytes:
    """A message with its length."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def read(stream: BinaryIO) -> Any:
    """The next message, waiting for it; raises EOFError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return pickle.loads(_exactly(stream, length))  # noqa: S301 - between a process and its child


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("the other process is gone")
    return data


async def received(stream: asyncio.StreamReader) -> Any:
    """The next message; raises EOFError when the other side is gone."""
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        return pickle.loads(await stream.readexactly(length))  # noqa: S301 - between a process and its child
    except asyncio.IncompleteReadError as error:
        raise EOFError("the other process is gone") from error
