"""Makes every polite request to stop end a command in the same orderly way."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from manager.embedded.processes import Child

AGAIN_S = 2.0
"""A request is repeated until cleaning up begins: Python drops what is raised in a destructor or around a fork."""

_ending: list[Iterable[Child]] = []
"""What is being ended: once cleaning up has begun, a request to stop kills it, and nothing is raised any more."""


def stop_in_order() -> None:
    """From now on Ctrl-C, SIGTERM and a closed terminal end this process through every `finally`."""
    _ending.clear()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _asked)


def cleaning_up(children: Iterable[Child]) -> None:
    """Cleaning up has begun: whoever asks again has the children killed, and can no longer interrupt it half-way."""
    _ending.append(children)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _asked(number: int, _: object) -> None:
    if not _ending:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        raise KeyboardInterrupt
    if number != signal.SIGALRM:
        for children in _ending:
            for child in children:
                child.kill_now()
