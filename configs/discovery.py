"""Finds the settings file, that of a running `lim up` included."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from configs.errors import ConfigError

VARIABLE = "LIM_SETTINGS"
HERE = Path("lim.toml")
SLACK_S = 5.0


def find_file(environ: Mapping[str, str]) -> Path | None:
    """$LIM_SETTINGS, ./lim.toml, or the file of a running `lim up`; None where there is none of them."""
    if named := environ.get(VARIABLE):
        return Path(named)
    if HERE.is_file():
        return HERE
    up = up_file(environ)
    return up if is_running(up) else None


def up_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `lim up` writes the settings of its stack, for every other command to find."""
    state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home(), ".local", "state")
    return Path(state, "lim", "up.toml")


def is_running(up: Path) -> bool:
    """Whether the process that wrote this file, named in its first line `# pid N`, lives.

    A killed `lim up` leaves its file behind.  ConfigError where the file is there and is none of `lim up`.
    """
    try:
        first = up.read_text(errors="replace").partition("\n")[0]
        written = up.stat().st_mtime
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{up}: cannot be read ({error.strerror}): remove it, or start `lim up` again") from None
    if not first:  # being written
        return False
    match = re.fullmatch(r"# pid (\d{1,9})", first)
    if match is None:
        raise ConfigError(
            f"{up}: expected the first line of a file of `lim up`, # pid N, got {first[:40]!r}: "
            "remove it, or start `lim up` again"
        )
    return _lives(int(match.group(1)), written)


def _lives(pid: int, written: float) -> bool:
    """Whether this process runs and ran when the file was written: after a reboot its number may be another's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, hence alive
        pass
    try:
        # after the name in parentheses: state is field 3, the start in ticks since boot field 22
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:  # no /proc on this system
        return True
    # not /proc/uptime, which some containers make their own while starts stay those of the host
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = booted + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] != "Z" and started < written + SLACK_S
