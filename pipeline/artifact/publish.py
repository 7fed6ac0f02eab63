"""Publishing: the manifest, then the head."""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline.artifact.catalog import Head, head_key, read_head
from pipeline.artifact.errors import ArtifactChanged, ArtifactError, ArtifactMissing, FenceTooOld
from pipeline.artifact.fences import BUILD, check_fence
from pipeline.artifact.manifest import MANIFEST, Manifest, format_of, index_prefix
from pipeline.artifact.store import Store

KEPT = 16
"""Index ids that a head remembers."""

TRIES = 50
"""Replacements of a head that others may win before it is given up."""


def publish(store: Store, manifest: Manifest, *, fence: int | None = None, written: bool = False) -> Head:
    """Commit an index whose files are in place, and make it the one that serves.

    `fence` is the token of the leader that publishes; None is a person's own build, which keeps the one that stands.
    `written` says that the manifest is there already, of an interrupted run.  Raises ArtifactExists
    when it is there unexpectedly, FenceTooOld when there is a newer leader, ArtifactError for several shards
    in a format whose readers know one.
    """
    if manifest.format < format_of(manifest.shards):
        raise ArtifactError(
            f"{manifest.label} {manifest.index_id}: expected format {format_of(manifest.shards)} for {len(manifest.shards)} "
            f"shards, got {manifest.format}"
        )
    if fence is not None:
        check_fence(store, BUILD, fence)
    if not written:
        store.create(index_prefix(manifest.label, manifest.index_id) + MANIFEST, manifest.to_json())
    return move_head(store, manifest.label, manifest.index_id, fence=fence)


def move_head(store: Store, label: str, index_id: str, *, fence: int | None = None) -> Head:
    """Let `index_id` serve; repeated while others write the head in between, up to ArtifactChanged.

    `fence` as of `publish`.  Raises FenceTooOld when there is a newer leader.
    """
    for tried in range(TRIES):
        try:
            head, etag = read_head(store, label)
        except ArtifactMissing:
            head, etag = Head(label=label, index_id=index_id), None
        moved = moved_head(head, index_id, fence)
        if fence is not None:  # after the head was read: whoever writes it from here on makes our replacement fail
            check_fence(store, BUILD, fence)
        try:
            store.replace(head_key(label), moved.to_json(), etag)
        except ArtifactChanged:
            time.sleep(min(0.01 * tried, 0.2))
            continue
        return moved
    raise ArtifactChanged(
        f"label {label!r}: its head changed before each of {TRIES} tries to replace it in {store.url}: "
        "see who else publishes, or whether the store compares etags as it lists them, then try again"
    )


def moved_head(head: Head, index_id: str, fence: int | None) -> Head:
    """The head after the move; pure."""
    newest = head.fences.get(BUILD, 0)
    if fence is not None and fence < newest:
        raise FenceTooOld(
            f"label {head.label!r}: expected the fence {newest} or newer, got {fence}: another leader publishes"
        )
    fences = head.fences if fence is None else {**head.fences, BUILD: fence}
    before = head.previous if head.index_id == index_id else (head.index_id, *head.previous)
    previous = tuple(one for one in before if one != index_id)[:KEPT]
    return replace(head, index_id=index_id, previous=previous, fences=fences)
