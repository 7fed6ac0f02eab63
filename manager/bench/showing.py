"""What the measurements share: a stack to measure, a table to show what was found."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from configs.load import Loaded
from manager.demo.tables import printed
from manager.embedded.interrupting import stop_in_order
from manager.embedded.stack import Stack, Wanted, running

Line = tuple[str, str, str, bool | None]
"""Figure, measured, wanted, whether it is as wanted."""


@contextmanager
def bench_stack(loaded: Loaded) -> Iterator[Stack]:
    """A stack in a folder that vanishes with it."""
    stop_in_order()
    with (
        tempfile.TemporaryDirectory(prefix="lim-bench-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), loaded, Wanted(manager=False)) as stack,
    ):
        yield stack


def shown(found: dict[str, Any], lines: Iterable[Line], title: str, json_file: Path | None) -> None:
    """Print the lines; write what was found, if somebody wants it."""
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    table = Table("figure", "measured", "wanted", "", title=f"{title}; medians")
    for name, value, wanted, fine in lines:
        table.add_row(name, value, wanted, {True: "yes", False: "[bold red]no[/bold red]", None: ""}[fine])
    printed(table)
