"""Which source reads what lies at a URL."""

from __future__ import annotations

from configs.settings import Images, Source, Storage
from pipeline.sources import rows
from pipeline.sources.errors import SourceMismatch, SourceMissing
from pipeline.sources.files import FORMATS, FileSource, ending
from pipeline.sources.images import ImageSource
from pipeline.sources.photos import ARCHIVES, PHOTOS
from pipeline.sources.places import Place, hidden, reading

SUPPORTED = (
    f"descriptors ({', '.join(FORMATS)}), photos ({', '.join(PHOTOS)}) or archives of photos ({', '.join(ARCHIVES)})"
)


def open_source(url: str, source: Source, images: Images, storage: Storage, *, threads: int = 1) -> rows.Source:
    """The source for a file, a folder, a glob or an archive at an fsspec URL.

    What is in a folder decides: the first file of a known ending.  `threads` is how many native
    threads reading may use.  Raises SourceMissing when nothing there can be read.
    """
    place = Place.of(url, storage)
    kind = what_is_at(place)
    if kind == "photos":
        return ImageSource.of(place, images, threads)
    return FileSource(place, source)


def what_is_at(place: Place) -> str:
    """`files` or `photos`.  A folder is walked only as far as its first known file, a bucket listed once."""
    if kind := kind_of(place.url):
        return kind
    fs, path = place.open()
    others: list[str] = []
    with reading(place.url):
        if fs.isdir(path):
            cut = len(path.rstrip("/")) + 1
            for folder, _, names in fs.walk(path):
                for name in sorted(names):
                    relative = f"{folder}/{name}"[cut:]
                    if hidden(relative):
                        continue
                    if kind := kind_of(name):
                        return kind
                    others.append(relative)
        elif fs.isfile(path):
            others.append(path.rsplit("/", 1)[-1])
        elif any(sign in path for sign in "*?["):
            return kind_of_matches(place, fs.glob(path))
    if others:
        raise SourceMissing(f"{place.url}: expected {SUPPORTED}, found {', '.join(others[:3])}")
    raise SourceMissing(f"{place.url}: expected {SUPPORTED} in a file, a folder or a glob that matches, found nothing")


def kind_of_matches(place: Place, matches: list[str]) -> str:
    """What the matches of a glob are; raises SourceMismatch when they are several things."""
    kinds = {kind_of(match) for match in matches} - {""}
    if len(kinds) > 1:
        raise SourceMismatch(f"{place.url}: expected descriptors or photos, the glob matches both; name one ending")
    if not kinds:
        names = ", ".join(match.rsplit("/", 1)[-1] for match in matches[:3]) or "nothing"
        raise SourceMissing(f"{place.url}: expected a glob that matches {SUPPORTED}, it matches {names}")
    return kinds.pop()


def kind_of(name: str) -> str:
    """`files`, `photos` or, for an ending that says nothing, an empty string."""
    if name.lower().endswith(ARCHIVES):
        return "photos"
    last = ending(name.rsplit("/", 1)[-1])
    return "files" if last in FORMATS else "photos" if last in PHOTOS else ""
