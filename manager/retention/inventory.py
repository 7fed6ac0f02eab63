"""Lists the bucket for what may go: versions, unfinished indexes, work folders, segments.  Blocking."""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import unquote

from manager.retention.facts import Index, Kind, Thing
from manager.shelf.keys import INDEXES, WORK, label_prefix, part_of
from pipeline.artifact import (
    MANIFEST,
    ArtifactError,
    ArtifactMissing,
    Entry,
    Head,
    Store,
    StoreUnavailable,
    index_prefix,
    quoted,
    read_head,
    read_manifest,
)

DELTAS, CLOCK = "deltas/", "clock/"

Listed = Mapping[str, Entry]


def things(store: Store, keep: int, label: str = "") -> list[Thing]:
    """Everything that retention decides about, of one label or of all.  Raises StoreUnavailable.

    Manifests are read of labels that have more than `keep` versions: only there their order counts.
    """
    found = _indexes(store.entries(label_prefix(label) if label else INDEXES))
    versions = Counter(one.label for one in found if one.kind == "version")
    found = [_dated(store, one) if one.kind == "version" and versions[one.label] > keep else one for one in found]
    found += [one for one in _work(store) if label in ("", one.label)]
    return found + list(_segments(store.entries(f"{DELTAS}{quoted(label)}/" if label else DELTAS)))


def heads(store: Store, labels: Iterable[str]) -> dict[str, Head | None]:
    """The heads of labels; None where one cannot be read, nothing for a label that has none.  Raises StoreUnavailable."""
    found: dict[str, Head | None] = {}
    for label in labels:
        try:
            found[label] = read_head(store, label)[0]
        except ArtifactMissing:
            continue
        except StoreUnavailable:
            raise
        except ArtifactError:
            found[label] = None
    return found


def clock(store: Store) -> float:
    """Seconds since 1970 by the store's own clock, which may differ from ours: an object is written for a moment."""
    key = f"{CLOCK}{uuid.uuid4().hex}"
    store.write(key, b"what time is it")
    try:
        return store.entries(key)[key].modified
    finally:
        store.delete(key)


def _indexes(listed: Listed) -> list[Thing]:
    folders: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
    for key, entry in listed.items():
        part = part_of(key)
        if part is not None:
            folders[part.label, part.index_id][key] = entry
    found = []
    for (label, index_id), its in folders.items():
        home = index_prefix(label, index_id)
        manifest = its.get(home + MANIFEST)
        if manifest is None:
            found.append(_thing("unfinished", (label, index_id), home, its))
        else:
            version = _thing("version", (label, index_id), home, its)
            found.append(replace(version, created=manifest.modified, published=manifest.modified))
    return found


def _dated(store: Store, version: Thing) -> Thing:
    """With the time of its build's start, where its manifest can be read: a copied bucket has lost the objects' times."""
    try:
        created = read_manifest(store, version.label, version.index_id).created
        return replace(version, created=datetime.fromisoformat(created).timestamp())
    except StoreUnavailable:
        raise
    except (ArtifactError, ValueError):
        return version


def _work(store: Store) -> Iterator[Thing]:
    folders: dict[str, dict[str, Entry]] = defaultdict(dict)
    for key, entry in store.entries(WORK).items():
        folders[WORK + key.removeprefix(WORK).partition("/")[0] + "/"][key] = entry
    for prefix, its in folders.items():
        yield _thing("work", _build(store, prefix), prefix, its)


def _build(store: Store, prefix: str) -> Index:
    """Label and index id of the build that works in a folder; empty where it does not say."""
    try:
        spec = json.loads(store.read(prefix + "spec.json"))
        return str(spec["label"]), str(spec["index_id"])
    except (ArtifactMissing, ValueError, KeyError, TypeError):
        return "", ""


def _segments(listed: Listed) -> Iterator[Thing]:
    for key, entry in listed.items():
        name = key.removeprefix(DELTAS).partition("/")[0]
        if quoted(unquote(name)) == name:
            yield _thing("segment", (unquote(name), ""), key, {key: entry})


def _thing(kind: Kind, of: Index, prefix: str, its: Listed) -> Thing:
    return Thing(
        kind=kind, label=of[0], index_id=of[1], prefix=prefix, keys=tuple(its),
        nbytes=sum(one.nbytes for one in its.values()), newest=max(one.modified for one in its.values()),
    )  # fmt: skip
