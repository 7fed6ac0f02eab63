"""The process of a build that was ordered over HTTP: what it does, how it ended."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from configs.errors import LimError
from configs.logs import set_up
from configs.settings import Settings
from pipeline.build import build
from pipeline.errors import NothingToIndex
from pipeline.indexer.errors import BUILD_FAILED, LIST_EMPTY
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.sources.errors import SourceMissing
from pipeline.stage import Runner

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Ended:
    """How a build ended: `error_code` 0 and its digest, or a code with the reason."""

    error_code: int
    detail: str


def main(pipe: Connection, settings: Settings, order: Order, parent: int) -> None:
    """Build, then send `Ended`.  A process that dies instead sends nothing."""
    os.setsid()  # its workers are in its group, so that one signal ends all
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    set_up(settings.log)
    pipe.send(_ended(settings, order))
    pipe.close()


def _ended(settings: Settings, order: Order) -> Ended:
    try:
        with ExitStack() as stack:
            built = build(order, settings, lambda: _runner(settings, stack), Lines())
    except (NothingToIndex, SourceMissing) as error:
        return Ended(LIST_EMPTY, str(error))
    except LimError as error:
        return Ended(BUILD_FAILED, str(error))
    except Exception as error:
        logger.exception("The build of %s failed.", order.label)
        return Ended(BUILD_FAILED, f"{type(error).__name__}: {error}")
    return Ended(0, built.manifest.content_digest)


def _runner(settings: Settings, stack: ExitStack) -> Runner:
    from pipeline.graph import cluster, on_dask

    dask = replace(settings.dask, scheduler="")  # on this node alone
    return on_dask(stack.enter_context(cluster(dask)), dask)
