"""Does a store honour conditional writes?  Some ignore them and let every racer win."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from pipeline.artifact.errors import ArtifactChanged, ArtifactExists, ConditionsIgnored

if TYPE_CHECKING:
    from pipeline.artifact.store import Store


def probe(store: Store) -> None:
    """Create twice, then replace a stale version: each second try must be refused.  Leaves nothing behind.

    Raises ConditionsIgnored, or StoreUnavailable for a bucket that cannot be written.
    """
    key = f"probe/{uuid.uuid4().hex}"
    store.create(key, b"first")
    try:
        _refused(store, key)
    finally:
        store.delete(key)


def _refused(store: Store, key: str) -> None:
    try:
        store.create(key, b"second")
    except ArtifactExists:
        pass
    else:
        raise ConditionsIgnored(_message(store, "a second create-if-absent of the same key was granted"))
    _, etag = store.read_entry(key)
    store.replace(key, b"third", etag)
    try:
        store.replace(key, b"fourth", etag)
    except ArtifactChanged:
        return
    raise ConditionsIgnored(_message(store, "a replace-if-unchanged of a changed object was granted"))


def _message(store: Store, what: str) -> str:
    return (
        f"{store.url}: {what}, so two writers would both believe that they published; use a store with conditional "
        "writes, or set storage.conditional_writes to 'trust' when there is never more than one writer"
    )
