"""Removes what was decided on, after another look at what may have changed since.  Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from manager.errors import TaskError
from manager.retention.facts import Thing
from manager.shelf import moving
from pipeline.artifact import MANIFEST, ArtifactError, ArtifactMissing, Head, Store, read_head


def remove(store: Store, thing: Thing, needed_by: Sequence[str]) -> str:
    """Remove a thing unless somebody needs it by now: then why it stays.  `needed_by` is what Redis says of it.

    Raises StoreUnavailable.
    """
    if needed_by:
        return f"needed by {', '.join(needed_by)} by now"
    if thing.kind == "version":
        try:
            moving.delete(store, thing.label, thing.index_id, ())
        except TaskError as error:  # it serves by now, or it has gone
            return str(error)
        return ""
    if thing.kind == "segment" and (why := _listed(store, thing)):
        return why
    if thing.kind == "unfinished" and _is_there(store, thing.prefix + MANIFEST):
        return "it has been finished meanwhile"
    store.delete(*_ordered(thing.keys))
    return ""


def _ordered(keys: Iterable[str]) -> list[str]:
    """Markers first, so that a build which finds a half removed folder repeats what is gone; what names it goes last."""
    return sorted(keys, key=lambda key: (key.endswith("/spec.json"), "/done/" not in key, key))


def _listed(store: Store, segment: Thing) -> str:
    try:
        head: Head = read_head(store, segment.label)[0]
    except ArtifactMissing:
        return ""
    except ArtifactError as error:
        return str(error)
    return "the head lists it by now" if any(one.key == segment.prefix for one in head.segments) else ""


def _is_there(store: Store, key: str) -> bool:
    try:
        store.size(key)
    except ArtifactMissing:
        return False
    return True
