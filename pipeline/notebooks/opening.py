"""The bucket that a notebook reads."""

from __future__ import annotations

from configs.load import export_credentials
from configs.settings import Settings
from pipeline.artifact import Store, open_store


def open_bucket(settings: Settings, url: str = "") -> Store:
    """The bucket at `url`, or that of the settings; S3 keys of the settings reach it either way."""
    export_credentials(settings.storage)
    return open_store(url or settings.storage.bucket, settings.storage)
