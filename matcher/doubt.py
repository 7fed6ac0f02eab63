"""Remembers that something read may have gone unanswered."""

from __future__ import annotations

import time

LIFE_S = 4.0
"""Seconds a doubt stands: longer than it takes until what was lost counts as idle."""


class Doubt:
    """Arises when a reply, a batch or a process was lost; while it stands, our own pending requests are looked at."""

    def __init__(self) -> None:
        self._until = 0.0
        self.arise()  # a process of the same name may have died before us

    def arise(self) -> None:
        """Something was lost now."""
        self._until = time.monotonic() + LIFE_S

    @property
    def stands(self) -> bool:
        """Whether something was lost lately."""
        return time.monotonic() < self._until
