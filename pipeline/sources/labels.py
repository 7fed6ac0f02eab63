"""Which labels a URL template has, by one listing that opens nothing."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from configs.settings import Images, Settings
from pipeline.sources.endings import ending, kind_of
from pipeline.sources.errors import ModelsMissing, SourceMissing
from pipeline.sources.files import FORMATS, is_beside, meaning, named, state, together
from pipeline.sources.images import find_models
from pipeline.sources.places import Found, Place, found, reading
from pipeline.sources.rows import InputFile, fingerprint
from pipeline.sources.templates import Layout, Template


@dataclass(frozen=True, slots=True)
class Seen:
    """A list as a listing shows it."""

    files: tuple[Found, ...]
    """Of descriptors or photos; not those that hold their ids."""
    watermark: str
    """sha256 that changes with the files, and with the settings that say what is in them."""
    fingerprint: str
    """The same as that of the list's `Listing`; empty where only opened files tell, as photos."""


class Labels:
    """The lists of `source.template`."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError for a template that is none."""
        self.template = Template(settings.source.template)
        self._place = Place.of(self.template.text, settings.storage)
        self._columns = settings.source
        self._photos = [asdict(settings.images), *_models(settings.images)]

    def seen(self, label: str = "") -> dict[str, Seen]:
        """Every label that has a file which can be read, or that one alone.

        Raises SourceMissing where nothing lies, SourceError, ConfigError where labels cannot be told from a listing.
        """
        layout = self.template.layout(self._place, label)
        with reading(self.template.text):
            entries = _listed(layout)
        files = {name: found(layout.fs, name, info) for name, info in entries.items() if info.get("type") == "file"}
        if not files and label:
            raise SourceMissing(f"{self.template.fill(label)}: expected a list, found nothing there")
        if not files:
            where = layout.fs.unstrip_protocol(f"{layout.folder}/{layout.begun}")
            raise SourceMissing(f"{self.template.text}: expected lists, found nothing at {where}")
        everything = {file.url: file for file in files.values()}
        columns = named(self._columns)
        lists: dict[str, list[Found]] = defaultdict(list)
        for name in sorted(files):
            one = layout.label_of(name)
            if one and not is_beside(files[name].url, everything, columns):
                lists[one].append(files[name])
        return {
            one: self._seen(some, everything) for one, some in lists.items() if any(kind_of(file.url) for file in some)
        }

    def _seen(self, files: list[Found], everything: Mapping[str, Found]) -> Seen:
        if {kind_of(file.name) for file in files} - {""} == {"files"}:
            known = [file for file in files if ending(file.name) in FORMATS]
            inputs = [InputFile(file.url, file.nbytes, self._state(file, everything), 0) for file in known]
            content = fingerprint(inputs, meaning(self._columns))
            return Seen(tuple(known), content, content)
        said = [[file.url, file.token] for file in files]
        data = json.dumps([said, self._photos, meaning(self._columns)], sort_keys=True)
        return Seen(tuple(files), hashlib.sha256(data.encode()).hexdigest(), "")

    def _state(self, file: Found, everything: Mapping[str, Found]) -> str:
        return state(everything.get(place.url) for place in together(self._place.at(file.url), self._columns))


def _listed(layout: Layout) -> dict[str, dict[str, Any]]:
    """What lies there, by path, in as few requests as the store allows: a thousand files each."""
    if "s3" in layout.fs.protocol:
        level = 1 if layout.depth == 1 else None  # more levels, one by one, would take a request a folder
        found: dict[str, dict[str, Any]] = layout.fs.find(
            layout.folder, maxdepth=level, detail=True, prefix=layout.begun
        )
        return found
    found = layout.fs.find(layout.folder, maxdepth=layout.depth or None, detail=True)
    return {
        path: info for path, info in found.items() if path.startswith(f"{layout.folder.rstrip('/')}/{layout.begun}")
    }


def _models(images: Images) -> list[list[Any]]:
    """What tells one pair of models from another, as far as there are any."""
    try:
        return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in find_models(images.models)]
    except ModelsMissing:  # said when a list of photos is opened
        return []
