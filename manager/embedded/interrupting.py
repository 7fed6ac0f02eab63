"""Makes every polite request to stop end a command in the same orderly way."""

from __future__ import annotations

import signal
from typing import NoReturn


def stop_in_order() -> None:
    """From now on SIGTERM and a closed terminal end this process as Ctrl-C does: through every `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt
