"""The bucket format: what the pipeline writes and the matcher reads."""

from pipeline.artifact.cache import Cache, verify
from pipeline.artifact.catalog import Head, Segment, head_key, list_heads, read_head, read_manifest
from pipeline.artifact.codec import Ids
from pipeline.artifact.errors import (
    ArtifactChanged,
    ArtifactCorrupt,
    ArtifactError,
    ArtifactExists,
    ArtifactMissing,
    CacheTooSmall,
    CacheUnavailable,
    ConditionsIgnored,
    FenceTooOld,
    FormatTooNew,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
)
from pipeline.artifact.files import Data, Entry, File
from pipeline.artifact.manifest import (
    FORMAT,
    MANIFEST,
    Descriptor,
    Manifest,
    Memory,
    Point,
    Shard,
    content_digest,
    format_of,
    index_prefix,
    quoted,
)
from pipeline.artifact.publish import move_head, publish
from pipeline.artifact.store import Store, open_store

__all__ = [
    "FORMAT",
    "MANIFEST",
    "ArtifactChanged",
    "ArtifactCorrupt",
    "ArtifactError",
    "ArtifactExists",
    "ArtifactMissing",
    "Cache",
    "CacheTooSmall",
    "CacheUnavailable",
    "ConditionsIgnored",
    "Data",
    "Descriptor",
    "Entry",
    "FenceTooOld",
    "File",
    "FormatTooNew",
    "Head",
    "Ids",
    "Manifest",
    "Memory",
    "Point",
    "Segment",
    "Shard",
    "Store",
    "StoreBusy",
    "StoreFull",
    "StoreUnavailable",
    "content_digest",
    "format_of",
    "head_key",
    "index_prefix",
    "list_heads",
    "move_head",
    "open_store",
    "publish",
    "quoted",
    "read_head",
    "read_manifest",
    "verify",
]
