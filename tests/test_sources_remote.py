"""Descriptors in memory:// and on an S3 server, which the generator wrote there."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from configs.settings import Images, Source, Storage
from pipeline.generate.faces import Generator
from pipeline.generate.regimes import GenerateError
from pipeline.generate.targets import whole
from pipeline.generate.writers import write
from pipeline.sources.errors import SourceMissing, SourceUnreadable
from pipeline.sources.opening import open_source
from pipeline.sources.places import Place, reading
from pipeline.sources.rows import Rows, joined
from pipeline.sources.rows import Source as AnySource

GENERATOR = Generator("isotropic", 5, 16)
ROWS = 600


@pytest.fixture(scope="module")
def server() -> Iterator[Storage]:
    """An S3 server of this module, with a bucket named `faces`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        storage = Storage(endpoint_url=f"http://{host}:{port}")
        fs, _ = Place.of("s3://faces", storage).open()
        fs.call_s3("create_bucket", Bucket="faces")
        yield storage
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest, server: Storage) -> Place:
    """An empty folder of a file system that is not the local one."""
    name = uuid.uuid4().hex
    return Place(f"memory://{name}") if request.param == "memory" else Place.of(f"s3://faces/{name}", server)


def opened(place: Place) -> AnySource:
    storage = Storage(endpoint_url=place.endpoint_url, region=place.region)
    return open_source(place.url, Source(), Images(), storage)


def read(place: Place) -> Rows:
    source = opened(place)
    return joined([source.read(part) for part in source.partitions(130)], 16)


def save(place: Place) -> None:
    chunks = [GENERATOR.chunk(number, 200) for number in range(ROWS // 200)]
    assert list(write(place, chunks, rows=ROWS, dim=16, version=GENERATOR.version)) == [200, 200, 200]


@pytest.mark.parametrize("name", ["a.parquet", "a.npy", "folder/"])
def test_what_the_generator_wrote_is_read_back(place: Place, name: str) -> None:
    there = place.at(f"{place.url}/{name}")
    save(there)
    listing = opened(there).listing()
    assert (listing.rows, listing.dim, listing.has_people) == (ROWS, 16, True)
    assert opened(there).listing().fingerprint == listing.fingerprint
    rows, expected = read(there), GENERATOR.rows(0, ROWS)
    assert (rows.ids, rows.people, rows.rejects) == (expected.ids, expected.people, ())
    np.testing.assert_allclose(rows.descriptors, expected.descriptors, atol=5e-4)


def test_globs_and_folders(place: Place) -> None:
    for name in ("a1.parquet", "a2.parquet", "b/c.parquet"):
        save(place.at(f"{place.url}/{name}"))
    assert opened(place).listing().rows == 3 * ROWS
    assert opened(place.at(f"{place.url}/a*.parquet")).listing().rows == 2 * ROWS
    with pytest.raises(SourceMissing, match="found nothing"):
        opened(place.at(f"{place.url}/x*.parquet")).listing()


def test_nothing_there(place: Place) -> None:
    with pytest.raises(SourceMissing, match="found nothing"):
        opened(place)


def test_a_file_that_was_truncated(place: Place) -> None:
    there = place.at(f"{place.url}/a.npy")
    save(there)
    fs, path = there.open()
    data = fs.cat_file(path)
    fs.pipe_file(path, data[:-100])
    with pytest.raises(SourceUnreadable, match=f"expected {len(data)} bytes .*got {len(data) - 100}"):
        opened(there).listing()


def test_a_range_of_a_large_remote_file_costs_only_its_bytes(server: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.of("s3://faces/large.parquet", server)
    generator = Generator("isotropic", 6, 512)
    chunks = [generator.chunk(number, 2_000) for number in range(4)]
    total = sum(write(place, chunks, rows=8_000, dim=512, version="x"))
    source = opened(place)
    part = source.partitions(2_000)[1]
    asked: list[int] = []
    original = s3fs.S3File._fetch_range

    def counted(self: Any, start: int, end: int) -> Any:
        asked.append(end - start)
        return original(self, start, end)

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", counted)
    assert len(source.read(part).ids) == 2_000
    assert total == 8_000
    assert 2_000 * 1_024 < sum(asked) < 2_000 * 1_024 * 1.3


def test_nothing_half_written_gets_its_name(place: Place) -> None:
    there = place.at(f"{place.url}/a.bin")

    def stop_halfway() -> None:
        with whole(there) as stream:
            stream.write(b"x" * (6 << 20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    fs, path = there.open()
    assert not fs.exists(path)
    with whole(there) as stream:
        stream.write(b"y" * (6 << 20))
    assert fs.size(path) == 6 << 20


def test_a_bucket_that_is_not_there(server: Storage) -> None:
    with pytest.raises(GenerateError, match=r"s3://no-such-bucket/a\..*npy: cannot be written"):
        save(Place.of("s3://no-such-bucket/a.npy", server))
    with pytest.raises(SourceMissing):
        opened(Place.of("s3://no-such-bucket/a.npy", server)).listing()


def test_refused_access_names_the_credentials(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="check the credentials"), reading("s3://faces/a.npy"):
        raise PermissionError("Access Denied")


def test_memory_is_one_store_for_the_process() -> None:
    fs = fsspec.filesystem("memory")
    save(Place("memory://once/a.npy"))
    assert fs.exists("/once/a.npy")
