"""Reading files at any fsspec URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
        options: dict[str, Any] = {}
        if self.url.startswith(("s3://", "s3a://")):
            # Cached listings would hide files that came after the first look.
            options = {"use_listings_cache": False, "endpoint_url": self.endpoint_url or None}
            options["client_kwargs"] = {"region_name": self.region or None}
        try:
            fs, path = fsspec.core.url_to_fs(self.url, **options)
        except (ValueError, ImportError) as error:
            raise SourceMissing(f"{self.url}: expected a URL that fsspec can open, got: {error}") from error
        return fs, path


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there."""

    url: str
    nbytes: int
    token: str

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
        if fs.isfile(path):  # before the glob: names may hold brackets
            entries = {path: fs.info(path)}
        elif fs.isdir(path):
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
        return found(fs, path, fs.info(path)) if fs.isfile(path) else None


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
