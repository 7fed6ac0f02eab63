"""Reading files at any fsspec URL."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import IO, Any

import fsspec

from configs.settings import Storage
from pipeline.artifact.busy import is_busy
from pipeline.sources.errors import SourceBusy, SourceMissing, SourceUnreadable

try:
    from botocore.exceptions import BotoCoreError, ClientError

    FOREIGN: tuple[type[Exception], ...] = (OSError, BotoCoreError, ClientError)
except ImportError:  # no s3fs here: nothing can raise its errors
    FOREIGN = (OSError,)

# In order of how surely they change with the content.
TOKENS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL with what any process needs to open it.  Secrets come from the environment, so that none is pickled."""

    url: str
    endpoint_url: str = ""
    region: str = ""

    @classmethod
    def of(cls, url: str, storage: Storage) -> Place:
        """The place of `url` behind the endpoint of the settings."""
        return cls(url, storage.endpoint_url, storage.region)

    def at(self, url: str) -> Place:
        """Another URL behind the same endpoint."""
        return replace(self, url=url)

    def open(self) -> tuple[Any, str]:
        """The file system and the path in it; raises SourceMissing for a protocol that is unknown or not installed."""
        try:
            if self.is_s3:
                fs = _s3(os.getpid(), self.endpoint_url, self.region)
                return fs, fs._strip_protocol(self.url)
            fs, path = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise SourceMissing(f"{self.url}: expected a URL that fsspec can open, got: {error}") from error
        return fs, path

    @property
    def is_s3(self) -> bool:
        """Whether each look is a request to an object store."""
        return self.url.startswith(("s3://", "s3a://"))


@lru_cache(maxsize=32)
def _s3(_process: int, endpoint_url: str, region: str) -> Any:
    """One for all threads: each has its own client, which takes a while to make, and fsspec keeps one a thread."""
    return fsspec.filesystem(
        "s3",
        use_listings_cache=False,  # cached listings would hide files that came after the first look
        endpoint_url=endpoint_url or None,
        client_kwargs={"region_name": region or None},
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there."""

    url: str
    nbytes: int
    token: str
    beside: Mapping[str, Found | None] | None = field(default=None, compare=False, repr=False)
    """What lies at URLs beside it, None where nothing does; None in all = nobody has looked."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rsplit("/", 1)[-1]


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Turn what file systems raise into SourceError."""
    try:
        yield
    except FileNotFoundError:
        raise SourceMissing(f"{url}: expected a file, found nothing there") from None
    except PermissionError as error:
        raise SourceUnreadable(f"{url}: not allowed to read it ({error}); check the credentials") from error
    except FOREIGN as error:
        kind = SourceBusy if is_busy(error) else SourceUnreadable
        raise kind(f"{url}: cannot be read: {error}") from error


def find(place: Place) -> list[Found]:
    """The file, the files of the folder (all levels) or the matches of the glob at the place, sorted by name.

    Hidden files of a folder, whose path has a part that begins with `.` or `_`, are left out.
    Raises SourceMissing when there is nothing.
    """
    fs, path = place.open()
    with reading(place.url):
        at = _info(fs, path)
        kind = at["type"] if at else ""
        if at and kind == "file":  # before the glob: names may hold brackets
            entries = {path: at}
        elif kind == "directory":
            inside = fs.find(path, detail=True)
            cut = len(path.rstrip("/")) + 1
            entries = {name: info for name, info in inside.items() if not hidden(name[cut:])}
        elif any(sign in path for sign in "*?["):
            entries = {name: info for name, info in fs.glob(path, detail=True).items() if info["type"] == "file"}
        else:
            entries = {}
    if not entries:
        raise SourceMissing(f"{place.url}: expected a file, a folder with files or a glob that matches, found nothing")
    return [found(fs, name, entries[name]) for name in sorted(entries)]


def hidden(path: str) -> bool:
    """Whether a part of the relative path begins with `.` or `_`."""
    return any(part.startswith((".", "_")) for part in path.split("/"))


def found(fs: Any, path: str, info: dict[str, Any]) -> Found:
    """A file from what its file system says about it."""
    token = next((str(info[name]) for name in TOKENS if info.get(name)), "")
    return Found(fs.unstrip_protocol(path), int(info["size"]), f"{token}/{info['size']}".replace('"', ""))


def look(place: Place) -> Found | None:
    """The file at the place, or None when there is none."""
    fs, path = place.open()
    with reading(place.url):
        try:
            at = _info(fs, path)
        except PermissionError:  # what S3 says of a missing key to those who may not list
            return None
        return found(fs, path, at) if at and at["type"] == "file" else None


def neighbours(place: Place, urls: Iterable[str]) -> dict[str, Found | None]:
    """What lies at URLs beside the file at the place of an object store, whose names begin as its does; one request."""
    fs, path = place.open()
    folder, _, name = path.rpartition("/")
    with reading(place.url):
        entries = fs.find(folder, prefix=name.rpartition(".")[0] + ".", detail=True)
    there = {one.url: one for one in (found(fs, key, info) for key, info in entries.items())}
    return {url: there.get(url) for url in urls}


def _info(fs: Any, path: str) -> dict[str, Any] | None:
    """What the file system says of a path; None where nothing is, or nothing can be."""
    try:
        info: dict[str, Any] = fs.info(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return info


def read_range(place: Place, start: int, nbytes: int) -> bytes:
    """`nbytes` bytes from `start`; raises SourceUnreadable when the file ends before that."""
    fs, path = place.open()
    with reading(place.url):
        data: bytes = fs.cat_file(path, start=start, end=start + nbytes) if nbytes else b""
    if len(data) != nbytes:
        raise SourceUnreadable(f"{place.url}: truncated: expected {start + nbytes} bytes, got {start + len(data)}")
    return data


@contextmanager
def opened(place: Place, *, ahead: int = 0) -> Iterator[IO[bytes]]:
    """The file, open for reading at random; from a remote one `ahead` bytes more than asked for are fetched."""
    fs, path = place.open()
    cache = {"cache_type": "readahead", "block_size": ahead} if ahead else {"cache_type": "none"}
    with reading(place.url), fs.open(path, "rb", **cache) as stream:
        yield stream
