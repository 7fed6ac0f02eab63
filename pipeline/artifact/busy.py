"""Tells an object store that is busy or full from one that refuses for good."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pipeline.artifact.errors import StoreBusy, StoreFull, StoreUnavailable

BUSY = frozenset(
    (
        "429", "500", "502", "503", "504", "InternalError", "RequestLimitExceeded", "RequestTimeout", "ServerBusy",
        "ServiceUnavailable", "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException",
        "TooManyRequests", "XMinioServerNotInitialized",
    )
)  # fmt: skip
"""Codes of servers that may answer in a while: Amazon's list of S3 error responses, and MinIO's own."""

FULL = frozenset(("507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"))
"""Codes of servers without space."""


def unavailable(what: str, error: BaseException) -> StoreUnavailable:
    """The error of a store that could not do something: `what` names the place and what it said."""
    if is_full(error):
        return StoreFull(
            f"{what}: its disk or quota is full: free some, then run the same command again, which continues where it stopped"
        )
    kind = StoreBusy if is_busy(error) else StoreUnavailable
    return kind(f"{what}; check address, keys, region and the rights of the keys")


def is_busy(error: BaseException) -> bool:
    """Whether the same request may work in a while: the server says so, or nobody answers."""
    return any(_is_busy(one) for one in _chain(error))


def is_full(error: BaseException) -> bool:
    """Whether the server or the disk has no space left."""
    return any(
        _code(one) in FULL or (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT))
        for one in _chain(error)
    )


def _is_busy(error: BaseException) -> bool:
    try:
        from botocore.exceptions import HTTPClientError
    except ImportError:  # without s3fs there are no such errors
        return False
    # aiohttp's connection errors are OSErrors of Python's own kinds, or come wrapped in botocore's
    return _code(error) in BUSY or isinstance(error, (HTTPClientError, ConnectionError, TimeoutError))


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error with its causes: s3fs leaves the server's own words in the cause."""
    while error is not None:
        yield error
        error = error.__cause__
