"""The shelf: every label with its versions, from memory where it can be."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from manager.errors import NoSuchIndex, NoSuchLabel, TaskError, Unavailable
from manager.matchers import Matchers, Seen
from manager.shelf import alarms, moving
from manager.shelf.heads import Heads, Known
from manager.shelf.manifests import Index, Manifests
from manager.shelf.rows import Alarm, IndexView, LabelRow, LabelView
from manager.shelf.views import index_view, label_row
from pipeline.artifact import ArtifactChanged, ArtifactError, Head, Store, StoreUnavailable

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Objects read at a time."""

PART = 32
"""Heads that are read in one go, so that a page which needs others does not wait for ten thousand of them."""

Got = TypeVar("Got")


class Shelf:
    """Refreshed by `run`; labels are known from the first look on, their heads and manifests as they are asked for.

    Every method that needs Redis or the bucket raises Unavailable where it does not answer.
    """

    def __init__(self, store: Store, matchers: Matchers, poll_s: float) -> None:
        self._store = store
        self.matchers = matchers
        """Who holds what."""
        self._poll_s = poll_s
        self._pool = ThreadPoolExecutor(AT_ONCE, "shelf")
        self._heads = Heads(store, self._pool)
        self._manifests = Manifests(store, self._pool)
        self.looked: float | None = None
        """Seconds since 1970 of the last look at the bucket that succeeded."""
        self.unreachable = ""
        """Why the last one failed."""

    async def run(self) -> None:
        """Refresh every `poll_s`, for ever; a bucket that does not answer is told by `unreachable`."""
        try:
            while True:
                try:
                    await self.refresh()
                except TaskError as error:
                    logger.warning("The bucket cannot be read, so what is known goes on being shown: %s.", error)
                await asyncio.sleep(self._poll_s)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def refresh(self) -> None:
        """Compare with the bucket by one listing; read only heads that changed.  Raises Unavailable."""
        try:
            changed = await self._aside(self._heads.look)
            self.looked = time.time()
            for first in range(0, len(changed), PART):
                await self._aside(self._heads.read, changed[first : first + PART])
            self.unreachable = ""
        except TaskError as error:
            self.unreachable = str(error)
            raise

    def count(self, prefix: str = "") -> int:
        """How many labels begin so."""
        return len(self._heads.labels(prefix))

    async def labels(self, prefix: str = "", offset: int = 0, limit: int = 50) -> list[LabelRow]:
        """A page of the labels that begin so, sorted by name."""
        names = self._heads.labels(prefix)[offset : offset + limit]
        return await self._rows(names)

    async def _rows(self, names: list[str]) -> list[LabelRow]:
        await self._aside(self._heads.read, names)
        known = [(name, one) for name in names if (one := self._heads.known(name)) is not None]
        heads = [one.head for _, one in known if one.head is not None]
        views = {view.label: view for view in await self._views([(head, head.index_id) for head in heads])}
        seen = await self.matchers.look()
        return [
            label_row(one.head, views[name], seen) if one.head is not None else _unreadable(name, one)
            for name, one in known
        ]

    async def label(self, label: str) -> LabelView:
        """A label with every version that the bucket has, as it is now.  Raises NoSuchLabel.

        Its own head is read: who looks at one label may be about to roll it back, a moment after it was published.
        """
        await self._aside(lambda: self._heads.read([label], again=True))
        head, etag = await self._head(label)
        ids = await self._aside(moving.versions, self._store, label)
        named = [one for one in (head.index_id, *head.previous) if one in ids or one == head.index_id]
        views = await self._views([(head, one) for one in dict.fromkeys([*named, *ids])])
        views.sort(key=lambda one: one.figures.created if one.figures else "", reverse=True)
        (row,) = await self._rows([label])
        asked = await self.matchers.asked([label])
        return LabelView(
            label=label, etag=etag, index_id=head.index_id, previous=head.previous,
            asked_index_id=asked.get(label, ""), versions=tuple(views), alarms=row.alarms,
        )  # fmt: skip

    async def index(self, index_id: str, label: str = "") -> IndexView:
        """An index that a head names or did before; any other of a label where that is given.  Raises NoSuchIndex."""
        labels = [label] if label else self._heads.of(index_id)
        for one in labels:
            known = await self._known(one)
            if known is None or known.head is None:
                continue
            (view,) = await self._views([(known.head, index_id)])
            if not view.missing:
                return view
        where = f"of {label!r}" if label else "in the bucket"
        raise NoSuchIndex(f"{index_id}: there is no such index {where}; GET /1/indexes lists those that there are")

    async def indexes(self, prefix: str = "", offset: int = 0, limit: int = 50) -> list[IndexView]:
        """A page of the versions of all labels that begin so: by label, then newest first as the heads remember them."""
        named = ((known.head, one) for known in self._all(prefix) if known.head for one in known.ids)
        wanted = list(islice(named, offset, offset + limit))
        return [view for view in await self._views(wanted) if not view.missing]

    def count_indexes(self, prefix: str = "") -> int:
        """How many there are at most: heads remember some that were removed."""
        return sum(len(known.ids) for known in self._all(prefix))

    def _all(self, prefix: str) -> Iterator[Known]:
        return (known for label in self._heads.labels(prefix) if (known := self._heads.known(label)) is not None)

    async def alarms(self, limit: int = 100) -> list[Alarm]:
        """What a person should look at: of matchers, then of labels, at most `limit`."""
        seen = await self.matchers.look()
        found = [*alarms.of_matchers(seen)]
        if self.unreachable:
            found.insert(0, Alarm(kind="bucket", text=f"the bucket cannot be read: {self.unreachable}"))
        suspects = [label for label in self._heads.labels() if _is_suspect(label, self._heads.known(label), seen)]
        for row in await self._rows(suspects[: max(0, limit - len(found))]):
            found += [one for one in row.alarms if not one.matcher_id]
        return found[:limit]

    async def roll(self, label: str, index_id: str) -> LabelView:
        """Let another version serve, older or newer.

        Raises NoSuchLabel, NoSuchIndex, or Unreadable where a matcher that runs is too old for its format.
        """
        await self._head(label)
        seen = await self.matchers.look(0.0)
        await self._aside(moving.roll, self._store, label, index_id, seen)
        await self._written(label, index_id)
        return await self.label(label)

    async def delete(self, label: str, index_id: str) -> None:
        """Remove a version.  Raises NoSuchLabel, NoSuchIndex, or InUse while it serves, is held or is being loaded."""
        seen = await self.matchers.look(0.0)
        asked = (await self.matchers.asked([label])).get(label, "")
        await self._aside(moving.delete, self._store, label, index_id, moving.users(seen, label, index_id, asked))
        await self._written(label, index_id)

    async def _written(self, label: str, index_id: str) -> None:
        self._manifests.forget((label, index_id))
        await self._aside(lambda: self._heads.read([label], again=True))

    async def _head(self, label: str) -> tuple[Head, str]:
        known = await self._known(label)
        if known is None:
            raise NoSuchLabel(f"{label!r}: nothing is published for this label; build an index for it first")
        if known.head is None:
            raise Unavailable(f"{label!r}: its head cannot be read: {known.problem}")
        return known.head, known.etag

    async def _known(self, label: str) -> Known | None:
        """The head of a label, read if it is not known or not yet listed."""
        if self._heads.known(label) is None:
            await self._aside(lambda: self._heads.read([label], again=True))
        return self._heads.known(label)

    async def _views(self, wanted: Iterable[tuple[Head, str]]) -> list[IndexView]:
        wanted = list(wanted)
        indexes: list[Index] = [(head.label, index_id) for head, index_id in wanted]
        told = await self._aside(self._manifests.read, indexes)
        seen, asked = await self.matchers.look(), await self.matchers.asked(list({label for label, _ in indexes}))
        return [
            index_view(head, index_id, told[head.label, index_id], seen, asked.get(head.label, ""))
            for head, index_id in wanted
        ]

    async def _aside(self, work: Callable[..., Got], *args: object) -> Got:
        """Do what takes long in a thread.  Raises Unavailable for a bucket that does not answer."""
        try:
            return await asyncio.to_thread(work, *args)
        except (StoreUnavailable, ArtifactChanged) as error:
            raise Unavailable(str(error)) from error
        except ArtifactError as error:
            raise TaskError(str(error)) from error


def _is_suspect(label: str, known: Known | None, seen: Seen) -> bool:
    """Whether what is in memory gives reason to look closer at a label."""
    if known is None:
        return False  # not read yet
    if known.head is None:
        return True
    holders = seen.holders.get((label, known.head.index_id))
    return bool(seen.matchers) and (holders is None or bool(holders.missing))


def _unreadable(label: str, known: Known) -> LabelRow:
    alarm = Alarm(kind="unreadable", label=label, text=f"{label}: its head cannot be read: {known.problem}")
    return LabelRow(label=label, index=None, versions=0, alarms=(alarm,))
