"""A driver as the manager sees it: a process, with a line to it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from configs.settings import Settings
from manager.builds.wire import Ended, Lease, packed, received
from pipeline.indexer.errors import OUT_OF_MEMORY, PROCESS_DIED
from pipeline.indexer.memory import oom_kills

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""Of messages that wait to be sent: a driver that takes none is no use."""


@dataclass(slots=True)
class Driver:
    """A process that runs one build after the other; it dies with this one."""

    process: Process
    kills: int
    """Processes that the kernel had killed for lack of memory when it started."""
    killed: bool = False

    @classmethod
    async def start(cls, settings: Settings, lease: Lease) -> Driver:
        """Start one; raises OSError.  From the main thread, whose end is the end that the kernel tells it of."""
        # -P: a folder named like one of our packages, where the manager was started, is not ours
        command = [sys.executable, "-P", "-m", "manager.builds.driver", str(os.getpid())]
        kills = oom_kills()
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        driver = cls(process, kills)
        driver.say(settings)
        driver.say(lease)
        return driver

    @property
    def alive(self) -> bool:
        """Whether it runs, and is to."""
        return self.process.returncode is None and not self.killed

    def say(self, message: object) -> None:
        """Tell it; one that has died, or listens no more, is found by who waits for its words."""
        line = self.process.stdin
        if line is None or line.is_closing() or not self.alive:
            return
        if line.transport.get_write_buffer_size() > MOST_BYTES:
            logger.warning("Driver %d takes no messages: killing it.", self.process.pid)
            self.kill()
            return
        line.write(packed(message))

    async def heard(self) -> Any:
        """Its next message; how it died, as `Ended`, where there will be none."""
        line = self.process.stdout
        try:
            if line is not None:
                return await received(line)
        except (EOFError, OSError):
            self.kill()  # what is left of its group
        return self._died(await self.process.wait())

    def kill(self) -> None:
        """End it at once with the workers that it started; the build can be continued."""
        self.killed = True
        # not Process.kill, which looks first whether it has ended, and so takes its exit code from who waits for it
        with suppress(ProcessLookupError, PermissionError):  # nobody is left
            os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it, return when it is gone."""
        self.kill()
        await self.process.wait()
        if (line := self.process.stdin) is not None:
            line.close()

    def _died(self, code: int) -> Ended:
        if code == -signal.SIGKILL and oom_kills() > self.kills:
            return Ended(
                OUT_OF_MEMORY, "the kernel killed a process for lack of memory, and the driver of this build was killed: give "
                "the machine of the manager more, or lower dask.workers or manager.builds_at_once", again=True,
            )  # fmt: skip
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Ended(
            PROCESS_DIED, f"its driver ended with {how}; the manager's log has its last words; another attempt continues "
            "where it stopped", again=True,
        )  # fmt: skip
