"""A TCP proxy before a real server that can answer 503 in its place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Proxy:
    """Hands connections on to `port`, or refuses what comes over them."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._busy = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.refused = 0
        """Requests answered with 503."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def busy(self, is_busy: bool) -> None:
        """Begin or end answering 503; connections that are open are cut."""
        with self._lock:
            self._busy = is_busy
            cut, self._open = self._open, set()
        for one in cut:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.busy(True)

    def passing(self, data: bytes, target: socket.socket) -> None:
        """Told of everything that is handed on."""

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            with self._lock:
                busy = self._busy
                if not busy:
                    server = socket.create_connection(("127.0.0.1", self._to))
                    self._open |= {client, server}
            if busy:
                threading.Thread(target=self._refuse, args=(client,), daemon=True).start()
            else:
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=(one, other), daemon=True).start()

    def _refuse(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(5)
            if client.recv(65_536):
                self.refused += 1
                client.sendall(ANSWER % (len(BODY), BODY))
                client.shutdown(socket.SHUT_WR)
                while client.recv(65_536):  # closing over unread bytes would be a reset, and the answer lost
                    pass

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.passing(data, target)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        with self._lock:
            self._open -= {source, target}


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """A proxy to a port of this machine."""
    found = Proxy(port)
    try:
        yield found
    finally:
        found.close()
