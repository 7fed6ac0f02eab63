"""A TCP proxy before an S3 server that counts the requests which pass."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from faulty_proxy import Proxy

REQUEST = re.compile(rb"(?:^|\r\n\r\n|\n)(GET|HEAD|PUT|POST|DELETE) (/[^ \r\n]*) HTTP/1\.1\r\n")
"""Clients of ours wait for an answer before they ask again, so that a request begins what is received, or follows a body."""


class Counting(Proxy):
    """Counts by what was asked for: `list`, `get`, `head`, and so on."""

    def __init__(self, port: int) -> None:
        self.counts: Counter[str] = Counter()
        super().__init__(port)

    @property
    def total(self) -> int:
        """Requests so far."""
        return self.counts.total()

    def passing(self, data: bytes, target: socket.socket) -> None:
        """See `Proxy.passing`."""
        if target.getpeername()[1] == self._to:
            for verb, path in REQUEST.findall(data):
                self.counts["list" if b"list-type=2" in path else verb.decode().lower()] += 1


@contextmanager
def counting(port: int) -> Iterator[Counting]:
    """A counting proxy to a port of this machine."""
    found = Counting(port)
    try:
        yield found
    finally:
        found.close()
