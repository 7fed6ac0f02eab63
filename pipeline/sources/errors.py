"""Errors of reading descriptors.

SourceError(LimError)
├── SourceMissing      nothing at the URL, or nothing in it that can be read
├── SourceUnreadable   a file that is truncated, damaged, forbidden or out of reach
│   └── SourceBusy     its store is busy or does not answer: the same read may work in a while
├── SourceMismatch     a file that does not hold what the settings or the other files say: column, dtype, dimension
├── SourceChanged      a file that was replaced while the build was reading it
└── ModelsMissing      photos without the models or the libraries that turn them into descriptors
"""

from __future__ import annotations

from configs.errors import LimError


class SourceError(LimError):
    """Descriptors that cannot be read; the message names the file, what was expected, and what was found."""


class SourceMissing(SourceError):
    """Nothing at the URL, or nothing in it that can be read."""


class SourceUnreadable(SourceError):
    """A file that is truncated, damaged, forbidden or out of reach."""


class SourceBusy(SourceUnreadable):
    """The store of a file is busy or does not answer; the same read may work in a while."""


class SourceMismatch(SourceError):
    """A file that does not hold what the settings or the other files say."""


class SourceChanged(SourceError):
    """A file that was replaced while the build was reading it."""


class ModelsMissing(SourceError):
    """Photos without the models or the libraries that turn them into descriptors."""
