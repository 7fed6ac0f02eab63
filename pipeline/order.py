"""What a person orders, checked as far as a look at the source tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.settings import Settings
from pipeline.errors import BuildError
from pipeline.sources.errors import SourceError
from pipeline.sources.opening import open_source
from pipeline.sources.rows import Listing


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks for."""

    source: str
    label: str
    probes: str = ""
    index_id: str = ""
    """The id that the index is to have; empty = a new one, or that of the build that is continued."""
    whole: bool = False
    """Whether the list is so short that all stages are one item."""


def from_anywhere(url: str) -> str:
    """A place as a process that was started in another folder finds it: a path becomes absolute, a URL stays."""
    return url if not url or "://" in url else str(Path(url).absolute())


def check_label(label: str) -> None:
    """Raises BuildError where a label cannot be one."""
    if not label or len(label) > 200 or not label.isprintable():
        raise BuildError(f"label: expected 1 to 200 printable characters, got {label!r}")


def listed(order: Order, settings: Settings) -> tuple[Listing, str]:
    """The source's listing, with the fingerprint of everything that the build will read.

    Reads listings only.  Raises BuildError for a label that is none, SourceError for what cannot be read.
    """
    check_label(order.label)
    listing = open_source(order.source, settings.source, settings.images, settings.storage).listing()
    fingerprint = listing.fingerprint
    for name, url in (("probes", order.probes), ("calibration", settings.build.calibration)):
        if url:
            try:
                listing_of_it = open_source(url, settings.source, settings.images, settings.storage).listing()
            except SourceError as error:
                raise type(error)(f"{name}: {error}") from error
            fingerprint += f"+{name}:{listing_of_it.fingerprint}"
    return listing, fingerprint
