"""Changes what lies in the bucket: which version serves, which versions there are.  Blocking."""

from __future__ import annotations

from collections.abc import Sequence

from manager.errors import InUse, NoSuchIndex, NoSuchLabel, Unreadable
from manager.matchers import Seen
from manager.shelf.keys import label_prefix, part_of
from pipeline.artifact import (
    MANIFEST,
    ArtifactCorrupt,
    ArtifactExists,
    ArtifactMissing,
    FormatTooNew,
    Store,
    index_prefix,
    move_head,
    read_head,
    read_manifest,
)
from pipeline.artifact.catalog import head_key


def versions(store: Store, label: str) -> list[str]:
    """Ids of the indexes of a label that have a manifest, by one listing."""
    parts = map(part_of, store.keys(label_prefix(label)))
    return [part.index_id for part in parts if part is not None and part.name == MANIFEST]


def roll(store: Store, label: str, index_id: str, seen: Seen) -> None:
    """Let a version serve.  Raises NoSuchIndex, or Unreadable where it, or a matcher, is not of this version's time."""
    _check_readable(store, label, index_id, seen)
    before = read_head(store, label)[0].index_id
    move_head(store, label, index_id)
    try:
        read_manifest(store, label, index_id)
    except ArtifactMissing:  # removed by somebody who had read the head before us
        move_head(store, label, before)
        raise NoSuchIndex(f"{label} {index_id}: it was removed meanwhile, so that {before} goes on serving") from None


def _check_readable(store: Store, label: str, index_id: str, seen: Seen) -> None:
    try:
        manifest = read_manifest(store, label, index_id)
    except ArtifactMissing:
        raise NoSuchIndex(
            f"{label} {index_id}: expected an index with its manifest, got none: choose one that GET /1/labels/{label} lists"
        ) from None
    except (ArtifactCorrupt, FormatTooNew) as error:
        raise Unreadable(str(error)) from error
    if old := seen.cannot_read(manifest.format):
        names = ", ".join(f"{one.matcher_id} (up to format {one.format})" for one in old)
        raise Unreadable(
            f"{label} {index_id}: is of format {manifest.format}, which {names} cannot read: update those matchers first"
        )


def users(seen: Seen, label: str, index_id: str, asked: str) -> Sequence[str]:
    """Who needs an index beside the head: matchers, or everybody while requests go to it."""
    return (*seen.uses(label, index_id), *(["requests, which still go to it"] if asked == index_id else []))


def delete(store: Store, label: str, index_id: str, needed_by: Sequence[str]) -> None:
    """Remove a version, manifest first, so that nobody believes in it while its files go.

    Raises NoSuchLabel, NoSuchIndex, or InUse while it serves or somebody needs it.
    """
    home = index_prefix(label, index_id)
    keys = store.keys(home)
    if not keys:
        raise NoSuchIndex(f"{label} {index_id}: there is nothing of it in {store.url}")
    if needed_by:
        raise InUse(
            f"{label} {index_id}: is still held or being loaded by {', '.join(needed_by)}: roll to another version, and "
            "try again when they have let it go"
        )
    _check_idle(store, label, index_id)
    if home + MANIFEST in keys:
        manifest = store.read(home + MANIFEST)
        store.delete(home + MANIFEST)
        if _serves(store, label, index_id):  # somebody rolled to it since we looked
            _put_back(store, home + MANIFEST, manifest)
            raise InUse(f"{label} {index_id}: somebody has just let it serve, so that it stays")
    store.delete(*(key for key in keys if key != home + MANIFEST))


def _check_idle(store: Store, label: str, index_id: str) -> None:
    try:
        serves = _serves(store, label, index_id)
    except ArtifactMissing:
        raise NoSuchLabel(f"{label!r}: there is no {head_key(label)} in {store.url}") from None
    if serves:
        raise InUse(f"{label} {index_id}: it serves: roll to another version first")


def _serves(store: Store, label: str, index_id: str) -> bool:
    return read_head(store, label)[0].index_id == index_id


def _put_back(store: Store, key: str, data: bytes) -> None:
    try:
        store.create(key, data)
    except ArtifactExists:  # whoever rolled published it again
        return
