"""Under which terms a leader lets a build publish: its fence, what the matchers read that are announced now."""

from __future__ import annotations

from manager.matchers import Matchers
from pipeline.spec import Terms


async def terms(matchers: Matchers, fence: int) -> Terms:
    """Those of the moment; raises Unavailable while the matchers' Redis does not answer."""
    seen = await matchers.look()
    oldest = min(seen.matchers, key=lambda one: one.format, default=None)
    if oldest is None:
        return Terms(fence=fence)
    return Terms(fence=fence, newest_format=oldest.format, oldest_reader=oldest.matcher_id)
