"""A build that was ordered over HTTP: its process, watched from outside."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from configs.settings import Settings
from pipeline.indexer import child
from pipeline.indexer.child import Ended
from pipeline.indexer.errors import BUILD_FAILED, CANCELLED, OUT_OF_MEMORY, PROCESS_DIED
from pipeline.indexer.memory import oom_kills, resident
from pipeline.order import Order

logger = logging.getLogger(__name__)

LOOK_S = 0.1


@dataclass(slots=True)
class Building:
    """One build in a process of its own, so that whatever ends it does not end the service."""

    order: Order
    limit: int
    """Bytes that it may take; 0 = no limit."""
    began: float = field(default_factory=time.time)
    peak: int = 0
    """Most resident bytes seen, all its processes together."""
    _process: BaseProcess | None = None
    _cancelled: bool = False
    _over: bool = False

    async def run(self, settings: Settings) -> Ended:
        """Build; returns how it ended, whatever happened to its process."""
        kills = oom_kills()
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe(duplex=False)
        # from the main thread, whose end is the end that the kernel tells the child of
        process = context.Process(target=child.main, args=(its, settings, self.order, os.getpid()), name="lim-build")
        process.start()
        self._process = process
        its.close()
        try:
            while process.is_alive():
                await asyncio.to_thread(self._look, process)
                await asyncio.sleep(LOOK_S)
            said = mine.recv() if mine.poll() else None
        except EOFError:  # it died in the middle of its last words
            said = None
        finally:
            self._kill()  # what is left of its group
            mine.close()
        return self._judged(said, process.exitcode or 0, oom_kills() > kills)

    def cancel(self) -> None:
        """End it at once; it can be continued by the same order."""
        self._cancelled = True
        self._kill()

    def _look(self, process: BaseProcess) -> None:
        self.peak = max(self.peak, now := resident(process.pid or 0))
        if self.limit and now > self.limit:
            logger.warning(
                "The build of %s takes %d bytes, allowed are %d: killing it.", self.order.label, now, self.limit
            )
            self._over = True
            self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.pid is not None:
            if process.is_alive():
                process.kill()
            with suppress(ProcessLookupError, PermissionError):  # nobody is left, or it has no group of its own yet
                os.killpg(process.pid, signal.SIGKILL)

    def _judged(self, said: Ended | None, exitcode: int, out_of_memory: bool) -> Ended:
        if said is not None and said.error_code == 0:
            return said
        if self._cancelled:
            return Ended(CANCELLED, "it was stopped; the same order continues it")
        if self._over:
            return Ended(
                OUT_OF_MEMORY, f"it took {self.peak:,} bytes, indexer.build_memory_bytes allows {self.limit:,}: raise it, or "
                "lower build.partition_rows or dask.workers; the same order continues it",
            )  # fmt: skip
        if out_of_memory and (said is None or said.error_code == BUILD_FAILED):
            return Ended(
                OUT_OF_MEMORY, f"the kernel killed a process of it for lack of memory; the build took {self.peak:,} bytes: "
                "give the machine more, or lower build.partition_rows or dask.workers; the same order continues it",
            )  # fmt: skip
        if said is not None:
            return said
        how = f"signal {-exitcode}" if exitcode < 0 else f"exit code {exitcode}"
        return Ended(
            PROCESS_DIED, f"its process ended with {how}; the log has its last words, the same order continues it"
        )
