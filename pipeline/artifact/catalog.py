"""The head of a label, `catalog/{label}.json`: the only object that is ever overwritten."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from urllib.parse import unquote

from pipeline.artifact.errors import ArtifactCorrupt, ArtifactMissing, FormatTooNew
from pipeline.artifact.manifest import MANIFEST, Manifest, index_prefix, quoted
from pipeline.artifact.store import Store
from pipeline.artifact.typed import built

CATALOG = "catalog/"

HEAD = 1
"""The newest format of a head that this version writes and reads; it has its own count, since it changes less often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A live delta segment: log entries `first` to `last`."""

    key: str
    first: int
    last: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Which index of a label serves, and which did before, newest first."""

    label: str
    index_id: str
    previous: tuple[str, ...] = ()
    fences: dict[str, int] = field(default_factory=dict)
    """The newest leadership token of each role that has written here."""
    segments: tuple[Segment, ...] = ()
    format: int = HEAD

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, key: str) -> Head:
        """Read what `to_json` wrote; raises FormatTooNew or ArtifactCorrupt."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArtifactCorrupt(f"{key}: expected JSON, got {data[:20]!r}… ({error})") from None
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > HEAD:
            raise FormatTooNew(
                f"{key}: expected format {HEAD} or older, got {value['format']}: update this installation"
            )
        return built(cls, {"fences": {}, **value} if isinstance(value, dict) else value, key)


def head_key(label: str) -> str:
    """Where the head of a label lies."""
    return f"{CATALOG}{quoted(label)}.json"


def read_head(store: Store, label: str) -> tuple[Head, str]:
    """The head with its etag; raises ArtifactMissing when the label has none, ArtifactCorrupt, FormatTooNew."""
    key = head_key(label)
    try:
        data, etag = store.read_entry(key)
    except ArtifactMissing:
        raise ArtifactMissing(
            f"label {label!r}: nothing is published in {store.url}; build an index for it first"
        ) from None
    head = Head.from_json(data, key)
    if head.label != label:
        raise ArtifactCorrupt(f"{key}: expected the head of label {label!r}, got that of {head.label!r}")
    return head, etag


def list_heads(store: Store) -> dict[str, str]:
    """Every label with its head's etag, by one listing; whatever else lies there is not a head."""
    found = {}
    for key, entry in store.entries(CATALOG).items():
        label = unquote(key.removeprefix(CATALOG).removesuffix(".json"))
        if label and key == head_key(label):
            found[label] = entry.etag
    return found


def read_manifest(store: Store, label: str, index_id: str) -> Manifest:
    """The manifest of an index; raises ArtifactMissing, ArtifactCorrupt or FormatTooNew."""
    key = index_prefix(label, index_id) + MANIFEST
    manifest = Manifest.from_json(store.read(key), key)
    if (manifest.label, manifest.index_id) != (label, index_id):
        raise ArtifactCorrupt(
            f"{key}: expected the manifest of {label!r} {index_id}, got that of {manifest.label!r} {manifest.index_id}"
        )
    return manifest
