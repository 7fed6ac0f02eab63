"""A `lim` command that ends with the scheduler: `python -m pipeline.pages.child PARENT ARGUMENTS…`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's end, then be the command; a build loses nothing by it."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        sys.exit(f"the scheduler (process {parent}) has ended")
    from configs.cli import main as lim  # only now: it takes a while, in which the parent may end

    lim(sys.argv[2:])


if __name__ == "__main__":
    main()
