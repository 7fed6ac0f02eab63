"""Files that are there whole or not at all, at any fsspec URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fsspec.spec import AbstractBufferedFile

from pipeline.generate.regimes import GenerateError
from pipeline.sources.places import FOREIGN, Place


@contextmanager
def whole(place: Place) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name when the block ends well; a killed process leaves no half file under it.

    Raises GenerateError when it cannot be written.
    """
    fs, path = place.open()
    local = "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
    try:
        with _renamed(Path(path)) if local else _committed(fs, path) as stream:
            yield stream
    except FOREIGN as error:
        raise GenerateError(f"{place.url}: cannot be written: {error}") from error


@contextmanager
def _renamed(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _committed(fs: Any, path: str) -> Iterator[IO[bytes]]:
    stream = fs.open(path, "wb", autocommit=False)
    try:
        yield stream
    except BaseException:
        stream.discard()
        if isinstance(stream, AbstractBufferedFile):
            stream.closed = True  # or it would upload what it still holds when it is collected
        else:  # memory:// shows a file from its first byte
            fs.rm(path)
        raise
    stream.close()
    stream.commit()
