"""The command line of a submitted build."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from configs.load import known
from configs.settings import Settings
from pipeline.pages.orders import Ordered

SECTIONS = ("storage", "dask", "build", "quality", "source", "images")
"""What a build reads; the others may hold other services' passwords, which would show in a list of processes."""


def command(ordered: Ordered, run: str, scheduler: str, figures: Path) -> list[str]:
    """What starts the build, as a list that no shell sees; `figures` is the file that it leaves when it is done."""
    order = ordered.order
    # -P: a folder named like one of our packages, where the scheduler was started, is not ours
    return [
        sys.executable, "-P", "-m", "pipeline.pages.child", str(os.getpid()),
        *_settings(ordered.settings), "--set", "log.format=default",
        "build", f"--label={order.label}", f"--probes={order.probes}", f"--scheduler={scheduler}",
        f"--run={run}", f"--json={figures}", "--", order.source,
    ]  # fmt: skip


def _settings(settings: Settings) -> Iterator[str]:
    """Every setting in force, since the environment may say otherwise; keys go by the environment only."""
    for section in SECTIONS:
        values = getattr(settings, section)
        for field in fields(values):
            key = f"{section}.{field.name}"
            if not known()[key].is_secret:
                yield from ("--set", f"{key}={_text(getattr(values, field.name))}")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
