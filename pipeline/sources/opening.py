"""Which source reads what lies at a URL."""

from __future__ import annotations

from dataclasses import replace

from configs.settings import Images, Source, Storage
from pipeline.sources import rows
from pipeline.sources.endings import SUPPORTED, kind_of, refuse_mixture
from pipeline.sources.errors import SourceMissing
from pipeline.sources.files import FileSource
from pipeline.sources.images import ImageSource
from pipeline.sources.places import Place, hidden, reading


def open_source(url: str, source: Source, images: Images, storage: Storage, *, threads: int = 1) -> rows.Source:
    """The source for a file, a folder, a glob or an archive at an fsspec URL.

    What is in a folder decides: the first file of a known ending.  `threads` is how many native
    threads reading may use.  Raises SourceMissing when nothing there can be read.
    """
    place = Place.of(url, storage)
    if what_is_at(place) == "photos":
        return replace(ImageSource.of(place, images, threads), precision=source.precision)
    return FileSource.of(place, source)


def what_is_at(place: Place) -> str:
    """`files` or `photos`.  A folder is walked only as far as its first known file: tasks ask this, too."""
    if kind := kind_of(place.url):
        return kind
    fs, path = place.open()
    names: list[str] = []
    with reading(place.url):
        if fs.isdir(path):
            cut = len(path.rstrip("/")) + 1
            for folder, _, inside in fs.walk(path):
                seen = [name for name in sorted(inside) if not hidden(f"{folder}/{name}"[cut:])]
                if kind := next(filter(None, map(kind_of, seen)), ""):
                    return kind
                names += seen
        elif fs.isfile(path):
            names = [path]
        elif any(sign in path for sign in "*?["):
            names = fs.glob(path)
            refuse_mixture(place.url, names)
    if kind := next(filter(None, map(kind_of, names)), ""):
        return kind
    there = ", ".join(name.rsplit("/", 1)[-1] for name in names[:3]) or "nothing"
    raise SourceMissing(f"{place.url}: expected {SUPPORTED}: a file, a folder or a glob that matches; found {there}")
