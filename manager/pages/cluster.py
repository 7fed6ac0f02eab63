"""The Dask cluster of the builds, as its dashboard tells: workers, tasks, memory."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from configs.settings import Settings
from manager.pages.recent import Recent

TIMEOUT_S = 2.0
FRESH_S = 2.0
"""Age up to which what it told is shown again."""
MOST_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What the dashboard said; `problem` says why it did not."""

    workers: int = 0
    cores: int = 0
    hosts: int = 0
    tasks: int = 0
    """Waiting or running."""
    problem: str = ""


def dashboard_of(settings: Settings) -> str:
    """Where the dashboard is, without a slash at its end; empty = builds run on workers of their own."""
    if settings.dask.dashboard or settings.dask.scheduler in ("", "serial"):
        return settings.dask.dashboard.rstrip("/").removesuffix("/status")
    host = urlsplit(settings.dask.scheduler).hostname or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.scheduler.dashboard_port}"


class Cluster:
    """Asks when somebody looks, at most every FRESH_S."""

    def __init__(self, settings: Settings) -> None:
        self._address = dashboard_of(settings)
        self._recent = Recent(lambda: asyncio.to_thread(self._ask), FRESH_S)

    @property
    def dashboard(self) -> str:
        """Address of its first page; empty = there is none."""
        return f"{self._address}/status" if self._address else ""

    async def counts(self) -> Counts | None:
        """What it tells; None where builds run on workers of their own."""
        return await self._recent.get() if self._address else None

    def _ask(self) -> Counts:
        where = f"{self._address}/json/counts.json"
        try:
            # S310: the address is a setting of kind HttpUrl, or made with http:// above
            with urllib.request.urlopen(where, timeout=TIMEOUT_S) as reply:  # noqa: S310
                told = json.loads(reply.read(MOST_BYTES))
            tasks = int(told["waiting"]) + int(told["processing"])
            return Counts(int(told["workers"]), int(told["cores"]), int(told["hosts"]), tasks)
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            return Counts(problem=f"the Dask dashboard at {self._address} does not answer ({why}): is the scheduler running, "
                                  "and dask.dashboard right?")  # fmt: skip
