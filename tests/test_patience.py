"""A bucket that is busy is waited for, one that is full is not: real HTTP, a real disk."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from faulty_proxy import Proxy, proxy
from nodes import LIM, SMALL, figures
from waiting import wait_until

from configs.settings import Build, Quality, Settings, Storage
from manager.embedded.seaweed import S3
from pipeline.artifact import StoreBusy, StoreFull, StoreUnavailable, open_store
from pipeline.artifact.busy import unavailable
from pipeline.build import Built, build
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.patience import patiently
from pipeline.progress import Lines
from pipeline.sources.errors import SourceBusy
from pipeline.sources.places import Place, find
from pipeline.stage import serial


@pytest.fixture
def busy_s3(s3_server: S3) -> Iterator[Proxy]:
    """A proxy before the S3 server of the session."""
    with proxy(urlsplit(s3_server.endpoint).port or 0) as found:
        yield found


@contextmanager
def command(source: Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """A build, which ends with the block."""
    settings = {"LIM_SETTINGS": "", "LIM_DASK__SCHEDULER": "serial", **SMALL, **environ}
    arguments = [*LIM, "build", str(source), "--label", "list", "--json", "-"]
    with subprocess.Popen(
        arguments, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "rows.npy"
    np.save(path, Generator("mixture", 3).chunk(0, 6_000)[0])
    return path


def built(gallery: Path, bucket: str) -> Built:
    """A build in this process."""
    settings = Settings(
        storage=Storage(bucket=bucket), build=Build(partition_rows=500, sample_rows=4_000, recipe="scan"),
        quality=Quality(mated_probes=1_500, non_mates=500, added_fnir=0.003),
    )  # fmt: skip
    return build(Order(str(gallery), "list"), settings, lambda: serial, Lines())


@pytest.fixture(scope="module")
def digest(gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the same list, built without any trouble."""
    return built(gallery, str(tmp_path_factory.mktemp("bucket"))).manifest.content_digest


def test_a_call_is_repeated_until_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    said: list[int] = []

    def busy() -> None:
        said.append(1)
        raise StoreBusy("busy")

    with pytest.raises(StoreBusy):
        patiently(busy, 0)
    assert len(said) == 1, "no patience, one try"
    with caplog.at_level(logging.WARNING), pytest.raises(StoreBusy):
        patiently(busy, 0.4)
    assert len(said) > 2
    assert "busy; trying again in 0." in caplog.text

    def broken() -> None:
        said.clear()
        raise StoreUnavailable("no such bucket")

    with pytest.raises(StoreUnavailable):
        patiently(broken, 60)
    assert said == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [("SlowDown", StoreBusy), ("503", StoreBusy), ("XMinioStorageFull", StoreFull), ("AccessDenied", StoreUnavailable)],
)
def test_what_a_server_says_decides(code: str, kind: type[StoreUnavailable]) -> None:
    from botocore.exceptions import ClientError

    error = OSError("as s3fs puts it")
    error.__cause__ = ClientError({"Error": {"Code": code, "Message": "x"}}, "PutObject")
    assert type(unavailable("s3://bucket", error)) is kind
    assert type(unavailable("s3://bucket", ConnectionRefusedError(111, "refused"))) is StoreBusy


@pytest.mark.drill
@pytest.mark.timeout(180)
def test_503_is_busy_and_a_wrong_key_is_not(
    busy_s3: Proxy, s3_url: str, s3_server: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(endpoint_url=busy_s3.url)
    store, place = open_store(s3_url, storage), Place.of(f"{s3_url}/rows.npy", storage)
    store.write("key", b"value")
    busy_s3.busy(True)
    with pytest.raises(StoreBusy, match=r"SlowDown: .*reduce your request rate"):
        store.read("key")
    with pytest.raises(SourceBusy, match=r"rows\.npy"):
        find(place)
    busy_s3.busy(False)
    assert store.read("key") == b"value"
    tried: list[int] = []

    def read() -> bytes:
        tried.append(1)
        if len(tried) == 2:
            busy_s3.busy(False)
        return store.read("key")

    busy_s3.busy(True)
    assert patiently(read, 30) == b"value"
    assert len(tried) == 2
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    other = open_store(s3_url, Storage(endpoint_url=s3_server.endpoint, region="eu-west-1"))
    with pytest.raises(StoreUnavailable) as caught:
        other.read("key")
    assert not isinstance(caught.value, StoreBusy)


@pytest.mark.drill
@pytest.mark.timeout(300)
@pytest.mark.parametrize("stage", ["extract", "encode", "assemble"])
def test_a_build_outlives_ten_seconds_of_503(
    busy_s3: Proxy, s3_url: str, s3_server: S3, gallery: Path, digest: str, stage: str
) -> None:
    """Whatever of it meets them: items on two workers, listings in the command itself."""
    environ = {
        "LIM_STORAGE__BUCKET": s3_url, "LIM_STORAGE__ENDPOINT_URL": busy_s3.url, "LIM_DASK__SCHEDULER": "",
        "LIM_DASK__WORKERS": "2",
    }  # fmt: skip
    store = open_store(s3_url, Storage(endpoint_url=s3_server.endpoint))
    with command(gallery, **environ) as running:
        wait_until(
            lambda: any(f"/done/{stage}/" in key for key in store.keys("work/")),
            timeout_s=90,
            what=f"an item of {stage}",
        )
        busy_s3.busy(True)
        timer = threading.Timer(10, busy_s3.busy, (False,))
        timer.start()
        got = figures(running, timeout_s=200)
    assert not timer.is_alive(), "it ended before the trouble did"
    assert busy_s3.refused > 5
    assert got["content_digest"] == digest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting takes root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.timeout(120)
def test_a_full_disk_stops_the_build_which_goes_on_when_there_is_room(
    small_disk: Path, gallery: Path, digest: str
) -> None:
    """The error names the folder and what to do; the same command then publishes the same index."""
    with pytest.raises(StoreFull, match=rf"in the quota of {small_disk}: free some"):
        open_store(str(small_disk)).write("large", bytes(9 << 20))
    assert list(small_disk.iterdir()) == [], "nothing is left of what did not fit"
    with pytest.raises(
        StoreFull, match=rf"^work/.*No space left on device .* of {small_disk}: free some.* run the same command"
    ):
        built(gallery, str(small_disk))
    finished = len(list(small_disk.glob("work/*/done/extract/*")))
    assert finished
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    again = built(gallery, str(small_disk))
    assert again.manifest.content_digest == digest
    assert again.stages["extract"]["items"] == 12 - finished
