"""What the ending of a file's name says about it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.sources.errors import SourceMismatch

DESCRIPTORS = (".npy", ".npz", ".parquet")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ARCHIVES = (".tar", ".tar.gz", ".tgz")
UNREADABLE = (".gif", ".heic", ".heif", ".avif", ".tif", ".tiff")
"""Photos, too, but none that is decoded here: they are counted as rejects, not passed over."""

SUPPORTED = "; ".join(
    f"{what} ({', '.join(endings)})"
    for what, endings in (("descriptors", DESCRIPTORS), ("photos", PHOTOS), ("archives of photos", ARCHIVES))
)


def ending(name: str) -> str:
    """The ending by which a file's format is known, in lower case; empty when there is none."""
    name = name.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""


def kind_of(name: str) -> str:
    """`files`, `photos` or, for an ending that says nothing, an empty string."""
    if name.lower().endswith(ARCHIVES):
        return "photos"
    last = ending(name)
    return "files" if last in DESCRIPTORS else "photos" if last in PHOTOS else ""


def refuse_mixture(url: str, names: Iterable[str]) -> None:
    """Raise SourceMismatch when both descriptors and photos are among the names: which are meant is not guessed."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(kind_of(name), name.rsplit("/", 1)[-1])
    if "files" in first and "photos" in first:
        raise SourceMismatch(
            f"{url}: expected descriptors or photos, found both ({first['files']}, {first['photos']}); "
            "name those that are meant, with a glob such as *.parquet"
        )
