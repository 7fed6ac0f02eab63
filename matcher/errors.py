"""Errors of matching, with the codes of the wire.

MatchError(LimError)
├── BadDescriptor      26302  the descriptor cannot be read
├── SearchFailed       26303  the search failed
├── NoIndex            26304  nobody serves the label
├── VersionDiffers     26305  made by another model than the index
├── NotLoaded          26307  no memory for the index
├── NotReadable        26308  the index is corrupt
├── Expired            26310  the deadline passed before it was searched
├── BadRequest         26311  limit, threshold or another field is out of bounds
├── Stale              26312  the named index is no longer served: repeat with the new one
├── Busy               26313  too many requests are waiting
├── TooOld             26314  the index does not reflect the asked watermark
├── TimedOut           26315  no answer before the deadline (the client's own)
└── Unreachable        26316  Redis does not answer (the client's own)
"""

from __future__ import annotations

from typing import ClassVar

from configs.errors import LimError


class MatchError(LimError):
    """A request that cannot be answered; `error_code` and `desc` are what the wire carries."""

    error_code: ClassVar[int] = 26303
    desc: ClassVar[str] = "search failed"


class BadDescriptor(MatchError):
    """The descriptor cannot be read."""

    error_code = 26302
    desc = "descriptor cannot be read"


class SearchFailed(MatchError):
    """The search failed."""

    error_code = 26303
    desc = "search failed"


class NoIndex(MatchError):
    """Nobody serves the label."""

    error_code = 26304
    desc = "no index for label"


class VersionDiffers(MatchError):
    """The descriptor was made by another model than the index."""

    error_code = 26305
    desc = "descriptor version differs"


class NotLoaded(MatchError):
    """The index was not loaded for lack of memory."""

    error_code = 26307
    desc = "not loaded for lack of memory"


class NotReadable(MatchError):
    """The index was not loaded because it is corrupt."""

    error_code = 26308
    desc = "not loaded: corrupt"


class Expired(MatchError):
    """The deadline passed before the request was searched."""

    error_code = 26310
    desc = "expired"


class BadRequest(MatchError):
    """A field is out of bounds."""

    error_code = 26311
    desc = "bad request"


class Stale(MatchError):
    """The named index is no longer served."""

    error_code = 26312
    desc = "stale"


class Busy(MatchError):
    """Too many requests are waiting."""

    error_code = 26313
    desc = "busy"


class TooOld(MatchError):
    """The index does not reflect the asked watermark."""

    error_code = 26314
    desc = "watermark not reached"


class TimedOut(MatchError):
    """No answer before the deadline."""

    error_code = 26315
    desc = "timed out"


class Unreachable(MatchError):
    """Redis does not answer."""

    error_code = 26316
    desc = "Redis does not answer"


BY_CODE: dict[int, type[MatchError]] = {
    kind.error_code: kind
    for kind in (
        BadDescriptor, SearchFailed, NoIndex, VersionDiffers, NotLoaded, NotReadable, Expired, BadRequest, Stale, Busy,
        TooOld, TimedOut, Unreachable,
    )
}  # fmt: skip
