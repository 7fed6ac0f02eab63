"""A master, its replica, the Sentinels that watch them: what a fail-over needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from waiting import wait_until

from manager.embedded.processes import Child, free_port
from manager.embedded.valkey import server_binary

MASTER = "index_manager"


@dataclass
class Watched:
    """Processes of such a group, by port."""

    folder: Path
    password: str = ""
    servers: dict[int, Child] = field(default_factory=dict)
    sentinels: dict[int, Child] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """As manager.redis_url has it."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}/1" + (f"?password={self.password}" if self.password else "")

    def line(self, port: int) -> redis.Redis:
        """A connection to one server or Sentinel."""
        password = self.password if port in self.servers else ""
        return redis.Redis(port=port, password=password or None, decode_responses=True, socket_timeout=5)

    def master(self) -> int:
        """The port of the master, as the first Sentinel has it."""
        with self.line(next(iter(self.sentinels))) as line:
            return int(line.sentinel_get_master_addr_by_name(MASTER)[1])

    def signal(self, port: int, number: int) -> None:
        """Send a signal to a server."""
        os.kill(self.servers[port].pid, number)

    def start_server(self, of: int = 0) -> int:
        """A server, a replica of another with `of`; returns its port."""
        port = free_port()
        folder = self.folder / str(port)
        folder.mkdir()
        secret = ["--requirepass", self.password, "--masterauth", self.password] if self.password else []
        follows = ["--replicaof", f"127.0.0.1 {of}"] if of else []
        command = [
            str(server_binary()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes",
            "--save", "", "--repl-diskless-sync-delay", "0", *secret, *follows,
        ]  # fmt: skip
        self.servers[port] = Child(f"server-{port}", command, folder / "log").start()
        wait_until(lambda: self._answers(port), what=f"server {port}")
        return port

    def start_sentinel(self, master: int, quorum: int) -> int:
        """One that calls the master down after a second without an answer."""
        port = free_port()
        file = self.folder / f"sentinel-{port}.conf"
        secret = f"sentinel auth-pass {MASTER} {self.password}\n" if self.password else ""
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder}\nsentinel monitor {MASTER} 127.0.0.1 {master} {quorum}\n{secret}"
            f"sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 10000\n"
        )
        command = [str(server_binary()), str(file), "--sentinel"]
        self.sentinels[port] = Child(f"sentinel-{port}", command, file.with_suffix(".log")).start()
        wait_until(lambda: self._answers(port), what=f"Sentinel {port}")
        return port

    def wait_whole(self, sentinels: int, replicas: int = 1) -> None:
        """Until every Sentinel knows the replicas and the others: before that none can fail over."""

        def whole(port: int) -> bool:
            with self.line(port) as line:
                state = line.sentinel_master(MASTER)
            return bool((state["num-slaves"], state["num-other-sentinels"]) == (replicas, sentinels - 1))

        wait_until(lambda: all(map(whole, self.sentinels)), timeout_s=40, what="the group")

    def _answers(self, port: int) -> bool:
        with suppress(redis.RedisError), self.line(port) as line:
            return bool(line.ping())
        return False

    def stop(self) -> None:
        """End all."""
        for child in (*self.sentinels.values(), *self.servers.values()):
            child.kill()


@contextmanager
def watched(folder: Path, *, sentinels: int = 1, password: str = "") -> Iterator[Watched]:
    """A master with a replica and so many Sentinels, all knowing each other."""
    folder.mkdir(parents=True, exist_ok=True)
    group = Watched(folder, password)
    try:
        master = group.start_server()
        replica = group.start_server(of=master)

        def follows() -> bool:
            with group.line(replica) as line:
                return bool(line.info("replication")["master_link_status"] == "up")

        wait_until(follows, timeout_s=20, what="the replica")
        for _ in range(sentinels):
            group.start_sentinel(master, quorum=sentinels // 2 + 1)
        group.wait_whole(sentinels)
        yield group
    finally:
        group.stop()
