"""How many rows the lists of a URL template have; only lists that are new or changed are opened."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from configs.settings import Settings
from pipeline.sources.endings import ending
from pipeline.sources.errors import SourceError, SourceUnreadable
from pipeline.sources.files import FORMATS
from pipeline.sources.labels import Labels, Seen
from pipeline.sources.npy_file import read_header, vectors_header
from pipeline.sources.opening import open_source
from pipeline.sources.places import Found, Place

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""Lists that are opened at one time: what takes long is a remote store's answer."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A list that was opened."""

    watermark: str
    """Of its listing then: while it stays the same, so does the rest.  Empty where it changed meanwhile."""
    fingerprint: str
    """Of its content, as in `Listing`; empty with the watermark."""
    rows: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Lists by label, and beside them what went wrong with others."""

    lists: dict[str, Counted] = field(default_factory=dict)
    errors: dict[str, SourceError] = field(default_factory=dict)
    opened: int = 0
    """Lists that had to be opened."""


def survey(
    labels: Labels,
    settings: Settings,
    known: Mapping[str, Counted],
    *,
    label: str = "",
    only: Container[str] | None = None,
) -> Survey:
    """All lists, that of one label, or `only` some of all; those whose watermark is `known` are not opened.

    Raises SourceError where nothing can be listed, ConfigError where labels cannot be told from a listing.
    """
    seen = {one: look for one, look in labels.seen(label).items() if only is None or one in only}
    same = {one: known[one] for one, look in seen.items() if one in known and known[one].watermark == look.watermark}
    new = sorted(seen.keys() - same.keys())
    lists, errors = dict(same), {}
    with ThreadPoolExecutor(AT_ONCE, "counting") as pool:
        for one, result in zip(new, pool.map(lambda one: _counted(labels, settings, one, seen[one]), new), strict=True):
            if isinstance(result, SourceError):
                errors[one] = result
            else:
                lists[one] = result
    if len(lists) > len(same):
        after = labels.seen(label)
        for one in lists.keys() - same.keys():
            if one not in after:
                del lists[one]
            elif after[one].watermark != lists[one].watermark:
                lists[one] = Counted("", "", lists[one].rows)
    return Survey(lists, errors, len(new))


def _counted(labels: Labels, settings: Settings, label: str, seen: Seen) -> Counted | SourceError:
    try:
        url = labels.template.fill(label)
        if not seen.fingerprint:
            listing = open_source(url, settings.source, settings.images, settings.storage).listing()
            return Counted(seen.watermark, listing.fingerprint, listing.rows)
        return Counted(seen.watermark, seen.fingerprint, sum(_rows(file, settings) for file in seen.files))
    except SourceError as error:
        return error
    except Exception as error:  # whatever is wrong with one list, the others are counted
        logger.exception("The list of %r cannot be counted.", label)
        return SourceUnreadable(f"label {label!r}: its list cannot be counted: {type(error).__name__}: {error}")


def _rows(file: Found, settings: Settings) -> int:
    """By the fewest requests that tell: whether files fit together is asked when a build of them is."""
    place, columns = Place.of(file.url, settings.storage), settings.source
    if ending(file.name) == ".npy":
        return vectors_header(read_header(place, file.nbytes), columns, place.url).shape[0]
    return FORMATS[ending(file.name)].head(place, file, columns).rows
