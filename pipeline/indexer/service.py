"""The indexer service: a member of the cluster, at most one build of its own, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from configs.settings import Settings
from pipeline.artifact import ArtifactError, ArtifactMissing, open_store, read_manifest
from pipeline.indexer.building import Building
from pipeline.indexer.child import Ended
from pipeline.indexer.errors import DESCRIPTIONS, Busy, IdExists, IndexerError
from pipeline.indexer.orders import IndexList
from pipeline.nodes.member import Member
from pipeline.order import Order

logger = logging.getLogger(__name__)

ITEMS_SHARE = 2 / 3
"""Share of the longest shutdown in which running items may end; the rest is for leaving."""


@dataclass(slots=True)
class Service:
    """One indexer; `run` ends after `stopping` is set."""

    settings: Settings
    origin: str
    member: Member | None
    """None without dask.scheduler: then it only builds what is ordered."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    building: Building | None = None
    last: dict[str, Any] = field(default_factory=dict)
    """How the build before ended."""
    ended: dict[int, int] = field(default_factory=dict)
    """Ordered builds by the code they ended with, 0 = published."""
    _task: asyncio.Task[None] | None = None
    _ordering: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Serve until `stopping`, then leave in order, within `indexer.shutdown_s`."""
        joined = asyncio.create_task(self.member.run(), name="member") if self.member else None
        stopped = asyncio.create_task(self.stopping.wait(), name="stopping")
        await asyncio.wait({stopped, joined} if joined else {stopped}, return_when=asyncio.FIRST_COMPLETED)
        if joined and joined.done():
            stopped.cancel()
            await joined  # only a mistake of ours ends it before the service
        logger.info("Leaving: running items may end, what is not done then is handed back.")
        patience_s = self.settings.indexer.shutdown_s * ITEMS_SHARE
        await asyncio.gather(self._leave(patience_s), self._end_build(patience_s))
        if joined:
            await joined

    def state(self) -> dict[str, Any]:
        """What `GET /state` answers."""
        building = self.building
        if building is None:
            return {"state": "idle", "index_id": None, "last": self.last or None}
        return {"state": "indexing", "index_id": building.order.index_id, "last": self.last or None}

    def problems(self) -> list[str]:
        """Why it is not of full use; empty when it is."""
        if self.stopping.is_set():
            return ["it is stopping"]
        if self.member is not None and not self.member.address:
            return [f"it is not in the cluster of {self.member.offer.scheduler}: is the scheduler running?"]
        return []

    async def index_list(self, wanted: IndexList) -> None:
        """Begin a build.  Raises Busy, IdExists, BadOrder or another IndexerError."""
        order = wanted.order(self.settings.source.template)
        async with self._ordering:
            if self.stopping.is_set():
                raise Busy(f"{self.origin} is stopping: give the build to another")
            if self.building is not None:
                raise Busy(f"{self.origin} builds {self.building.order.index_id} for {self.building.order.label}")
            await asyncio.to_thread(self._check_free, order)
            self.building = Building(order, self.settings.indexer.build_memory_bytes)
            self._task = asyncio.create_task(self._build(self.building), name="build")

    async def stop(self) -> None:
        """End the build, if there is one; returns when it has ended."""
        building, task = self.building, self._task
        if building is not None and task is not None:
            building.cancel()
            await task

    def _check_free(self, order: Order) -> None:
        storage = self.settings.storage
        try:
            read_manifest(open_store(storage.bucket, storage), order.label, order.index_id)
        except ArtifactMissing:
            return
        except ArtifactError as error:
            raise IndexerError(f"storage.bucket: {error}") from error
        raise IdExists(f"{order.index_id}: an index of {order.label} has this id already: give another")

    async def _build(self, building: Building) -> None:
        order = building.order
        logger.info("Building %s for %s from %s.", order.index_id, order.label, order.source)
        try:
            ended = await building.run(self.settings)
        except Exception as error:  # whatever it is, the service goes on
            logger.exception("The build of %s could not be run.", order.label)
            ended = Ended(IndexerError.error_code, f"{type(error).__name__}: {error}")
        code = ended.error_code
        logger.info("Building %s ended: %d %s", order.index_id, code, ended.detail)
        self.ended[code] = self.ended.get(code, 0) + 1
        self.last = {
            "index_id": order.index_id, "list_id": order.label, "status": "error" if code else "success",
            "error_code": code, "desc": DESCRIPTIONS.get(code, IndexerError.desc) if code else "", "detail": ended.detail,
            "began": building.began, "seconds": time.time() - building.began, "peak_bytes": building.peak,
        }  # fmt: skip
        self.building = None

    async def _leave(self, patience_s: float) -> None:
        if self.member is not None:
            await self.member.leave(patience_s)

    async def _end_build(self, patience_s: float) -> None:
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=patience_s)
            await self.stop()
