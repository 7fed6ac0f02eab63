"""Photos in folders or archives: which there are, how one is read."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.sources.endings import ARCHIVES, PHOTOS, UNREADABLE, refuse_mixture
from pipeline.sources.errors import SourceChanged, SourceMissing, SourceUnreadable
from pipeline.sources.places import Place, find, hidden, look, opened, read_range
from pipeline.sources.rows import InputFile, fingerprint

READ_AHEAD = 8 << 20
"""Bytes of an archive read at once: asking for each of its headers would take a request per photo."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that is there."""

    name: str
    """Path relative to the folder or in the archive; it is the photo's id."""
    nbytes: int
    start: int | None = None
    """Where it begins in an uncompressed archive."""

    @property
    def person(self) -> str:
        """Name of the folder that it lies in, "" at the top."""
        folder = self.name.rpartition("/")[0]
        return folder.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Album:
    """All photos at one place, sorted by name (in a compressed archive: as they come)."""

    photos: tuple[Photo, ...]
    token: str
    """Changes when a photo is added, removed or replaced."""

    @property
    def has_people(self) -> bool:
        """Whether photos lie in folders, one per person."""
        return any(photo.person for photo in self.photos)


def list_album(place: Place) -> Album:
    """The photos at the place; raises SourceMissing when there is none.

    A compressed archive is unpacked once for that, since nothing else says what is in it.
    """
    album = _archive(place) if place.url.lower().endswith(ARCHIVES) else _folder(place)
    if not album.photos:
        raise SourceMissing(f"{place.url}: expected photos ({', '.join(PHOTOS)}), found none")
    return album


@lru_cache(maxsize=4)
def known_album(place: Place, token: str) -> Album:
    """The album as it was listed, kept by this process; raises SourceChanged when the photos are others now."""
    album = list_album(place)
    if album.token != token:
        raise SourceChanged(f"{place.url}: photos came, went or changed since they were listed; start the build again")
    return album


def read_photos(place: Place, photos: tuple[Photo, ...]) -> Iterator[tuple[Photo, bytes]]:
    """The bytes of some photos of an album, in order."""
    url = place.url.lower()
    if not url.endswith(ARCHIVES):
        folder = root(place)
        for photo in photos:
            yield photo, read_range(place.at(folder + photo.name), 0, photo.nbytes)
    elif url.endswith(".tar"):
        for photo in photos:
            yield photo, read_range(place, photo.start or 0, photo.nbytes)
    else:
        yield from _unpack(place, photos)


def root(place: Place) -> str:
    """URL that the photos' names follow: the folder, or the part of a glob before its first sign."""
    fs, path = place.open()
    steady = path
    for sign in "*?[":
        steady = steady.split(sign)[0]
    if steady != path:
        steady = steady.rpartition("/")[0]
    elif fs.isfile(path):
        steady = path.rpartition("/")[0]
    return str(fs.unstrip_protocol(steady)).rstrip("/") + "/"


def _is_photo(name: str) -> bool:
    return name.lower().endswith(PHOTOS + UNREADABLE) and not hidden(name)


def _folder(place: Place) -> Album:
    folder = root(place)
    everything = find(place)
    refuse_mixture(place.url, (file.name for file in everything))
    found = [file for file in everything if _is_photo(file.url.removeprefix(folder))]
    photos = tuple(Photo(file.url.removeprefix(folder), file.nbytes) for file in found)
    return Album(photos, fingerprint([InputFile(file.url, file.nbytes, file.token, 1) for file in found], {}))


def _archive(place: Place) -> Album:
    file = look(place)
    if file is None:
        raise SourceMissing(f"{place.url}: expected an archive of photos, found nothing there")
    plain = place.url.lower().endswith(".tar")
    photos = [
        Photo(name, member.size, member.offset_data if plain else None)
        for name, member, _ in _members(place)
        if _is_photo(name)
    ]
    if plain:
        photos.sort(key=lambda photo: photo.name)
    return Album(tuple(photos), file.token)


def _unpack(place: Place, photos: tuple[Photo, ...]) -> Iterator[tuple[Photo, bytes]]:
    """Photos of a compressed archive, which is read from its beginning to the last of them."""
    wanted = {photo.name: photo for photo in photos}
    for name, member, archive in _members(place):
        photo = wanted.pop(name, None)
        if photo is not None:
            stream = archive.extractfile(member)
            yield photo, stream.read() if stream else b""
        if not wanted:
            return


def _members(place: Place) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Regular files of an archive by name.  Nothing is unpacked to disk, so names cannot lead out of anywhere."""
    plain = place.url.lower().endswith(".tar")
    mode: Any = "r:" if plain else "r|"
    try:
        with (
            opened(place, ahead=READ_AHEAD) as stream,
            nullcontext(stream) if plain else gzip.GzipFile(fileobj=stream) as unpacked,
            tarfile.open(fileobj=unpacked, mode=mode) as archive,
        ):
            for member in archive:
                if member.isreg():
                    yield member.name.removeprefix("./"), member, archive
            if plain:  # tarfile takes an archive that was cut off in a header for a whole one
                stream.seek(archive.offset)
                if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError(f"it ends at {archive.offset} bytes without a mark of its end")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SourceUnreadable(
            f"{place.url}: expected a whole archive, got one that cannot be read: {error}"
        ) from error
