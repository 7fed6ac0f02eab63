"""A bucket of an S3-compatible server, over s3fs."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.artifact.busy import unavailable
from pipeline.artifact.errors import ArtifactChanged, ArtifactError, ArtifactExists, ArtifactMissing, StoreUnavailable
from pipeline.artifact.files import Data, Entry, File, Summed
from pipeline.artifact.s3_session import session
from pipeline.artifact.store import CHUNK, Store

CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""Codes with which servers refuse a conditional write."""

READS = 5
"""Tries of a read whose body breaks off: s3fs repeats everything else by itself."""


class S3Store(Store):
    """Conditions are the server's: `If-None-Match: *` to create, `If-Match` to replace.

    Keys come from the environment (AWS_ACCESS_KEY_ID and so on), so that a pickled store carries none.
    """

    def __init__(self, url: str, endpoint_url: str, region: str) -> None:
        self.url = url
        self._endpoint, self._region = endpoint_url, region
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def __reduce__(self) -> tuple[type[S3Store], tuple[str, str, str]]:
        return S3Store, (self.url, self._endpoint, self._region)

    @property
    def _fs(self) -> Any:
        return _file_system(self._endpoint, self._region, os.getpid())

    def read(self, key: str) -> bytes:
        """See `Store.read`."""
        return self.read_entry(key)[0]

    def read_range(self, key: str, start: int, nbytes: int) -> bytes:
        """See `Store.read_range`."""
        if nbytes == 0:
            return b""
        try:
            with self._translated(key):
                return self._fs.cat_file(self._path(key), start=start, end=start + nbytes)  # type: ignore[no-any-return]
        except StoreUnavailable as error:
            if _code(error.__cause__) == "InvalidRange":
                return b""  # it begins at the end or behind it
            raise

    def size(self, key: str) -> int:
        """See `Store.size`."""
        return int(self._head(key)["ContentLength"])

    def write(self, key: str, data: Data) -> File:
        """See `Store.write`."""
        if memoryview(data).nbytes > CHUNK:
            return self.write_from(key, _sliced(data))
        self._put(key, data)
        return File.of(key, data)

    def write_from(self, key: str, chunks: Iterable[Data]) -> File:
        """See `Store.write_from`."""
        summed = Summed(chunks)
        self.put(key, summed)
        return summed.file(key)

    def put(self, key: str, chunks: Iterable[Data]) -> int:
        """See `Store.put`.  One request where little is given whole, else a multipart upload, aborted when it fails."""
        if isinstance(chunks, tuple) and sum(memoryview(chunk).nbytes for chunk in chunks) <= CHUNK:
            self._put(key, whole := b"".join(chunks))
            return len(whole)
        nbytes = 0
        with self._translated(key):
            out = self._fs.open(self._path(key), "wb", autocommit=False, block_size=CHUNK)
        try:
            for chunk in chunks:  # an error of the stream is its own, not one of this bucket
                with self._translated(key):
                    nbytes += out.write(chunk)
            with self._translated(key):
                out.close()
                out.commit()
        except BaseException:
            out.closed = True  # its finaliser would go on writing
            with self._translated(key):
                out.discard()
            raise
        if nbytes == 0:  # a multipart upload needs a part
            self._put(key, b"")
        return nbytes

    def create(self, key: str, data: Data) -> File:
        """See `Store.create`."""
        try:
            self._put(key, data, IfNoneMatch="*")
        except ArtifactChanged:
            raise ArtifactExists(f"{key}: is there already in {self.url}") from None
        return File.of(key, data)

    def read_entry(self, key: str) -> tuple[bytes, str]:
        """See `Store.read_entry`."""
        tried = 0
        while True:
            try:
                with self._translated(key):
                    found = self._fs.call_s3("get_object", Bucket=self._bucket, Key=self._prefix + key)
                    return _body(self._fs, found), found["ETag"]
            except StoreUnavailable as error:
                tried += 1
                if tried == READS or not _broke_off(error.__cause__):
                    raise
                time.sleep(0.05 * 2**tried)

    def replace(self, key: str, data: Data, etag: str | None) -> str:
        """See `Store.replace`."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            return str(self._put(key, data, **condition)["ETag"])
        except ArtifactMissing:
            raise ArtifactChanged(f"{key}: expected version {etag}, found none") from None

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """See `Store.entries`.  Sorted here, since not every server lists in order of bytes."""
        cut = len(self._prefix)
        found: dict[str, Entry] = {}
        token: dict[str, str] = {}
        with self._translated(prefix):
            while True:
                page = self._fs.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._prefix + prefix, **token)
                for one in page.get("Contents", ()):
                    found[one["Key"][cut:]] = Entry(int(one["Size"]), one["ETag"], one["LastModified"].timestamp())
                if not page.get("IsTruncated"):
                    return dict(sorted(found.items()))
                token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, *keys: str) -> None:
        """See `Store.delete`.  A thousand a request."""
        for start in range(0, len(keys), 1000):
            objects = [{"Key": self._prefix + key} for key in keys[start : start + 1000]]
            with self._translated(keys[start]):
                wanted = {"Objects": objects, "Quiet": True}
                done = self._fs.call_s3("delete_objects", Bucket=self._bucket, Delete=wanted)
            for refused in done.get("Errors", ()):  # the answer as a whole is 200 all the same
                raise StoreUnavailable(
                    f"{self.url}: {refused['Key']} was not deleted: {refused.get('Code')}: {refused.get('Message')}"
                )

    def copy(self, source: str, target: str) -> None:
        """See `Store.copy`.  Done by the server, in parts where it is large."""
        with self._translated(source):
            self._fs.cp_file(self._path(source), self._path(target))  # `copy` takes [ and * for patterns

    def _path(self, key: str) -> str:
        return f"{self._bucket}/{self._prefix}{key}"

    def _head(self, key: str) -> dict[str, Any]:
        with self._translated(key):
            return self._fs.call_s3("head_object", Bucket=self._bucket, Key=self._prefix + key)  # type: ignore[no-any-return]

    def _put(self, key: str, data: Data, **condition: str) -> dict[str, Any]:
        with self._translated(key):
            return self._fs.call_s3(  # type: ignore[no-any-return]
                "put_object", Bucket=self._bucket, Key=self._prefix + key, Body=bytes(data), **condition
            )

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except ArtifactError:
            raise
        except Exception as error:
            raise self._translation(key, error) from error

    def _translation(self, key: str, error: Exception) -> ArtifactError:
        """s3fs turns a refused condition into FileExistsError or a bare OSError, whose cause names it."""
        cause = error.__cause__ or error
        code = _code(error)
        if isinstance(error, FileExistsError) or code in CONFLICTS:
            return ArtifactChanged(f"{key}: another version lies in {self.url}")
        if code == "NoSuchBucket":
            return StoreUnavailable(f"{self.url}: the server has no bucket {self._bucket!r}: create it first")
        if isinstance(error, FileNotFoundError) or code in ("NoSuchKey", "404"):
            # If-Match on a key that is gone is a lost race for some servers and a missing key for others.
            return ArtifactMissing(f"{key}: nothing lies there in {self.url}")
        where = self._endpoint or "the cloud's own endpoint"
        said = f"{code or type(cause).__name__}: {' '.join(str(cause).split())}"
        return unavailable(f"{self.url} at {where}: {said}", error)


def _code(error: BaseException | None) -> str:
    """The server's own code, which s3fs leaves in the cause."""
    response: dict[str, Any] = getattr(getattr(error, "__cause__", None) or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _broke_off(error: BaseException | None) -> bool:
    from s3fs.core import S3_RETRYABLE_ERRORS

    return isinstance(error, S3_RETRYABLE_ERRORS)


@functools.cache
def _file_system(endpoint_url: str, region: str, process: int) -> Any:
    """One file system per server and process: it keeps the connections, which do not survive a fork.

    Its listings cache never expires, so it is off.
    """
    import s3fs

    client: dict[str, Any] = {"region_name": region}
    if endpoint_url:
        client["endpoint_url"] = endpoint_url
    config = {"connect_timeout": 3, "read_timeout": 30, "retries": {"max_attempts": 3, "mode": "standard"}}
    return s3fs.S3FileSystem(
        client_kwargs=client, config_kwargs=config, use_listings_cache=False, skip_instance_cache=True, session=session(),
    )  # fmt: skip


def _body(fs: Any, found: dict[str, Any]) -> bytes:
    """The bytes of a response whose body is a coroutine of the file system's loop."""
    from fsspec.asyn import sync

    async def read() -> bytes:
        try:
            return await found["Body"].read()  # type: ignore[no-any-return]
        except BaseException:
            found["Body"].close()  # half read, its connection cannot be used again
            raise

    return sync(fs.loop, read)  # type: ignore[no-any-return]


def _sliced(data: Data) -> Iterator[memoryview]:
    view = memoryview(data).cast("B")
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]
