"""Floods one stream at a steady rate, past everything by which our own client would hold back."""

from __future__ import annotations

import sys
import time

import numpy as np
import redis

BURST_S = 0.005
"""What is due is sent this often, as one pipeline."""


def flood(url: str, stream: str, label: str, dim: int, rate: float) -> None:
    """Add requests until killed; nobody listens to the answers."""
    descriptor = np.random.default_rng(1).standard_normal(dim).astype(np.float32).tobytes()
    client = redis.Redis.from_url(url, protocol=2)
    began, sent = time.perf_counter(), 0
    while True:
        due = int((time.perf_counter() - began) * rate)
        pipe = client.pipeline(transaction=False)
        for number in range(sent, min(due, sent + 1_000)):
            pipe.execute_command(  # type: ignore[no-untyped-call]
                "XADD", stream, "*", "rid", f"flood-{number}", "v", "1", "label", label, "limit", "10", "ttl_ms", "5000",
                "descriptor", descriptor, "response_channel", "lim:bench:nobody",
            )  # fmt: skip
            sent += 1
        pipe.execute()
        time.sleep(max(0.0, BURST_S - (time.perf_counter() - began) % BURST_S))


if __name__ == "__main__":
    flood(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
