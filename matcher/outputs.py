"""Where commands write what they found: looked at before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from configs.errors import LimError


class OutputError(LimError):
    """A file that cannot be written."""


def expect_folders(*names: Path | str | None) -> None:
    """Raise OutputError unless the folder of every named file is there; None and '-' are no files."""
    for name in names:
        if name in (None, "", "-"):
            continue
        folder = Path(str(name)).parent
        if not folder.is_dir():
            raise OutputError(f"{name}: expected a folder {folder} to write into, got no such folder: make it first")
