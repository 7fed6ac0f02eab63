"""A build as data: everything that decides which bytes come out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from configs.settings import Build, Images, Quality, Source, Storage
from pipeline.artifact import FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which terms a manager lets a build publish: those of the moment, no part of the build."""

    fence: int | None = None
    """Token of the leader; None = a person's own build, which keeps the fence that stands."""
    newest_format: int = 0
    """The newest format that every announced matcher reads; 0 = whatever, since none is announced."""
    oldest_reader: str = ""
    """Name of a matcher that reads no newer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """One build.  `work_hash` covers every field that can change a byte; the index id is not one of them."""

    label: str
    source_url: str
    probes_url: str
    fingerprint: str
    """Hash of the source's listing: names, sizes and times of its files, and of the probes' and the calibration's."""
    descriptor_version: str
    dim: int
    device: str
    """`cpu` or `gpu`: what `auto` resolved to."""
    build: Build
    quality: Quality
    source: Source
    images: Images
    storage: Storage
    """How the source is reached; without keys, which every process takes from its own environment."""
    versions: dict[str, str]
    """Libraries and the instruction set that faiss and NumPy compute with; part of the hash, because they change sums."""
    index_id: str = ""
    created: str = ""
    asked: bool = False
    """Whether somebody asked for this index id: another id is then another build."""
    terms: Terms = Terms()
    """Under which this run publishes; neither stored nor in the hash."""

    @property
    def work_hash(self) -> str:
        """sha256 over everything but time, `force`, the way to the storage and an index id that nobody asked for.

        24 hexadecimal digits.
        """
        data = replace(self, index_id=self.index_id if self.asked else "", created="")._lasting()
        data["build"].pop("force")
        data["source"].pop("template")  # source_url says where it led
        data.pop("storage")
        data["format"] = FORMAT
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:24]

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(self._lasting(), sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> BuildSpec:
        """The spec that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(data)
        sections = (
            ("build", Build),
            ("quality", Quality),
            ("source", Source),
            ("images", Images),
            ("storage", Storage),
        )
        for name, section in sections:
            fields[name] = section(**fields[name])
        return cls(**fields)

    def _lasting(self) -> dict[str, Any]:
        fields = asdict(self)
        del fields["terms"]
        return fields
