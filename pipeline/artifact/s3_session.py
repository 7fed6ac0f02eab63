"""The session of S3 clients: what is set of botocore beside addresses, keys, tries."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def session() -> Any:
    """A session whose listings are read fast.

    botocore reads the time of each object with dateutil, which takes two thirds of the time of a listing: 0.6 s of a core
    for a catalog of ten thousand labels, at every look of every matcher.
    """
    from aiobotocore.session import AioSession

    made = AioSession()
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return made


def moment(value: Any) -> datetime:
    """A time as a server writes it: ISO 8601 in bodies, mostly; what else there is, is left to botocore."""
    from botocore.utils import parse_timestamp

    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_timestamp(value)  # type: ignore[no-any-return]
