"""Which feeds a matcher reads: those of its shards, those of the original's clients."""

from __future__ import annotations

from matcher.consumer import Consumer
from matcher.held import Place, feed_of
from matcher.keys import Feed


class Reading:
    """Two consumers of one name: what is searched here, and what is passed on because its index has several shards."""

    def __init__(self, here: Consumer, passed_on: Consumer, group: str) -> None:
        self._here = here
        self._passed_on = passed_on
        self._group = group

    async def shard(self, place: Place) -> None:
        """Read the requests for a shard."""
        await self._here.join(feed_of(place))

    def leave_shard(self, place: Place) -> None:
        """Read them no more."""
        self._here.leave(feed_of(place))

    async def label(self, label: str, *, whole: bool) -> None:
        """Read the original's requests for a label, to search them here or to pass them on."""
        feed = Feed(label, self._group)
        to, other = (self._here, self._passed_on) if whole else (self._passed_on, self._here)
        if feed not in to.feeds:
            await to.join(feed)
        if feed in other.feeds:
            other.leave(feed)

    def leave_label(self, label: str) -> None:
        """Read them no more."""
        for consumer in (self._here, self._passed_on):
            consumer.leave(Feed(label, self._group))

    def streams(self) -> list[str]:
        """Every stream that is read."""
        return [feed.stream for consumer in (self._here, self._passed_on) for feed in consumer.feeds]
