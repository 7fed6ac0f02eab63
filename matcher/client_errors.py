"""Errors that only a client meets.

MatchError
├── NoRedis            26316  Redis cannot be reached, or refuses what it is sent
└── BadProbes          26317  a file of probes that cannot be read
"""

from __future__ import annotations

from matcher.errors import MatchError


class NoRedis(MatchError):
    """Redis cannot be reached, or refuses what it is sent."""

    error_code = 26316
    desc = "no redis"


class BadProbes(MatchError):
    """A file of probes that cannot be read."""

    error_code = 26317
    desc = "probes cannot be read"
