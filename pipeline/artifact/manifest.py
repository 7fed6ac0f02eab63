"""The manifest of an index, `meta.json`: written last, its existence is the commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from pipeline.artifact.errors import ArtifactCorrupt, ArtifactError, FormatTooNew
from pipeline.artifact.files import File
from pipeline.artifact.typed import built

FORMAT = 2
"""The newest format that this version writes and reads.

An index of one shard is written as format 1, which older readers know; they would take the first of several shards for
the whole, so that several are format 2, which they refuse.
"""

MANIFEST = "meta.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What the vectors are."""

    version: str
    dim: int
    metric: str = "cosine"


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point: cells probed and candidates re-ranked; (0, 0) for exact search."""

    nprobe: int
    rerank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Predicted bytes of a loaded shard: of its own, and mapped from files."""

    anonymous: int
    mapped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of an index that one matcher can hold; keys of files are relative to the index's folder."""

    rows: int
    files: tuple[File, ...]
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a reader needs to know before it opens a file of the index."""

    format: int
    label: str
    index_id: str
    created: str
    """Time of the build's start, ISO 8601 with zone."""
    descriptor: Descriptor
    count: int
    recipe: str
    parameters: dict[str, Any]
    point: Point
    points: tuple[dict[str, Any], ...]
    """The measured curve, one entry per operating point."""
    quality: dict[str, Any]
    delta_seq: int
    """Number of the last log entry that the index contains."""
    watermark: str | None
    shards: tuple[Shard, ...]
    seed: int
    versions: dict[str, str]
    content_digest: str
    forced: bool
    """Published although it missed its target."""
    rejects: dict[str, Any]

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, key: str = MANIFEST) -> Manifest:
        """Read what `to_json` wrote.

        Raises FormatTooNew for a newer format, ArtifactCorrupt for anything else that is not a
        manifest: both name `key`.
        """
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArtifactCorrupt(f"{key}: expected JSON, got {data[:20]!r}… ({error})") from None
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] > FORMAT:
            raise FormatTooNew(
                f"{key}: expected format {FORMAT} or older, got {value['format']}: update this installation, then try again"
            )
        return built(cls, value, key)


def format_of(shards: Sequence[Shard]) -> int:
    """The oldest format that an index of these shards may say, so that whoever can read it does."""
    return 1 if len(shards) == 1 else 2


def content_digest(recipe: str, parameters: dict[str, Any], point: Point, shards: Sequence[Shard]) -> str:
    """sha256 over recipe, parameters, operating point and the files' checksums: the same index has the same digest."""
    data = {
        "recipe": recipe,
        "parameters": parameters,
        "point": asdict(point),
        "files": [[asdict(file) for file in shard.files] for shard in shards],
    }
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def quoted(label: str) -> str:
    """A label as one part of a key, with `.` of names like `..` quoted as well; ArtifactError for an empty one."""
    if not label:
        raise ArtifactError("label or index id: expected at least one letter, got an empty text")
    return quote(label, safe="").replace(".", "%2E") if label.startswith(".") else quote(label, safe="")


def index_prefix(label: str, index_id: str) -> str:
    """Where an index lies."""
    return f"indexes/{quoted(label)}/{quoted(index_id)}/"
