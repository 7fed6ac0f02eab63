"""Floods one stream at a steady rate, past everything by which our own client would hold back."""

from __future__ import annotations

import socket
import sys
import time
from urllib.parse import urlsplit

import numpy as np

BURST_S = 0.005
"""What is due is sent this often, at once."""

MOST = 500
"""Requests of one burst: a flood that cannot keep up sends as fast as Redis takes it."""


def flood(url: str, stream: str, label: str, dim: int, rate: float) -> None:
    """Add requests until killed; nobody listens to the answers.

    The same bytes again and again over a bare socket: a client library would spend more than the matcher.
    """
    descriptor = np.random.default_rng(1).standard_normal(dim).astype("<f4").tobytes()
    request = encoded(
        "XADD", stream, "*", "rid", "flood", "v", "1", "label", label, "limit", "10", "ttl_ms", "5000",
        "response_channel", "lim:bench:nobody", "descriptor", descriptor,
    )  # fmt: skip
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port)) as line:
        line.sendall(request)
        taken(line, 1)
        began, sent = time.perf_counter(), 0
        while True:
            due = min(int((time.perf_counter() - began) * rate) - sent, MOST)
            if due > 0:
                line.sendall(request * due)
                taken(line, due)
                sent += due
            if due < MOST:
                time.sleep(BURST_S)


def encoded(*words: str | bytes) -> bytes:
    """A command as it travels."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def taken(line: socket.socket, count: int) -> None:
    """Read the entry ids of so many requests, two lines each; raises ConnectionError for anything else."""
    lines = 0
    while lines < 2 * count:
        said = line.recv(65_536)
        if not said or said[:1] == b"-":
            raise ConnectionError(f"expected the ids of added entries, got {said[:100]!r}")
        lines += said.count(b"\r\n")


if __name__ == "__main__":
    flood(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
