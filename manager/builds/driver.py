"""A driver of builds: `python -m manager.builds.driver PARENT`, a process that runs one build after the other.

It takes orders from the manager that started it, over a pipe, and ends with it: by the kernel's word, by the end of
the pipe, or, where the manager is stopped rather than dead, when the lease that it was told of has lapsed.
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import select
import signal
import sys
import threading
import time
import uuid
from dataclasses import replace
from typing import BinaryIO, NoReturn

from configs.load import changed
from configs.logs import set_up
from configs.settings import Settings
from manager.builds.cluster import Cluster
from manager.builds.outcomes import failure, success
from manager.builds.telling import Telling
from manager.builds.wire import Ended, Job, Lease, TermsWanted, packed, read
from manager.leading.lease import now
from pipeline.announcing import Announced
from pipeline.build import build
from pipeline.sources.opening import what_is_at
from pipeline.sources.places import Place
from pipeline.spec import Terms

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

LOOK_S = 0.2
"""Seconds between looks at the lease."""

READ_S = 0.05
"""Seconds in which a message that has come is read."""


class Line:
    """The pipe to the manager: messages come by a thread of their own, so that the lease is renewed while a build runs."""

    def __init__(self, orders: BinaryIO, words: BinaryIO) -> None:
        self._orders, self._words = orders, words
        self._saying = threading.Lock()
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._terms: queue.SimpleQueue[Terms] = queue.SimpleQueue()
        self._until = read(orders).until

    def open(self) -> None:
        """From here on the process ends with the lease or with the manager."""
        for run in (self._listen, self._watch):
            threading.Thread(target=run, name=run.__name__, daemon=True).start()

    def say(self, message: object) -> None:
        """Tell the manager; without one there is nothing to live for."""
        try:
            with self._saying:
                self._words.write(packed(message))
                self._words.flush()
        except OSError:
            end("The manager is gone.")

    def job(self) -> Job:
        """The next build, once there is one."""
        return self._jobs.get()

    def terms(self) -> Terms:
        """Under which the build at hand may publish now."""
        self.say(TermsWanted())
        return self._terms.get()

    def _listen(self) -> None:
        while True:
            try:
                message = read(self._orders)
            except (EOFError, OSError):
                end("The manager is gone.")
            if isinstance(message, Lease):
                self._until = message.until
            elif isinstance(message, Job):
                self._jobs.put(message)
            else:
                self._terms.put(message)

    def _watch(self) -> None:
        while (left := self._until - now()) > 0 or self._is_told():
            time.sleep(min(max(left, READ_S), LOOK_S))
        end("The lease of the manager has lapsed.")

    def _is_told(self) -> bool:
        """Whether a renewal was, or is still, on its way: this process may have had no CPU to read it."""
        waiting, _, _ = select.select([self._orders], [], [], READ_S)
        return bool(waiting) or self._until > now()


def end(why: str) -> NoReturn:
    """End this process with the workers that it started, at once: what is finished is in the bucket."""
    logger.warning("%s The build is left to the next leader.", why)
    os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)  # where it leads no group


def main() -> None:
    """Run builds until the manager, or its lead, is gone."""
    parent, words = int(sys.argv[1]), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed goes to the log
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the manager's to answer
    settings: Settings = read(sys.stdin.buffer)
    set_up(settings.log)
    line = Line(sys.stdin.buffer, words)
    line.open()
    told, cluster = Telling(line.say), Cluster(settings.dask)
    while True:
        job = line.job()
        ended = _ended(job, settings, (line, told, cluster))
        told.over()
        line.say(ended)


def _ended(job: Job, settings: Settings, means: tuple[Line, Telling, Cluster]) -> Ended:
    line, told, cluster = means
    progress = Announced(told, job.order, uuid.uuid4().hex)  # the pages on the scheduler are told as well
    try:
        mine = changed(settings, job.options, f"task {job.order.index_id}")
        # the manager has tried the bucket when it started
        mine = replace(mine, storage=replace(mine.storage, conditional_writes="trust"))
        order = progress.order = replace(job.order, whole=_is_short(job, mine))
        built = build(order, mine, lambda: cluster.runner(progress, job), progress, line.terms)
    except Exception as error:
        progress.failed(error)
        cluster.leave()  # the next attempt finds one that works, and nothing that this one left there
        return failure(error, job.order.label)
    progress.published(built)
    return success(built)


def _is_short(job: Job, settings: Settings) -> bool:
    """Whether a single worker builds it in no time; photos take theirs."""
    if not 0 < job.rows <= settings.manager.whole_rows:
        return False
    return what_is_at(Place.of(job.order.source, settings.storage)) == "files"


if __name__ == "__main__":
    main()
