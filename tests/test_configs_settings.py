"""The settings as a table: a manual under every field, secrets never shown, read by whoever is handed a section."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from configs.hiding import HIDDEN, visible, without_password
from configs.kinds import read
from configs.load import known
from configs.manual import Entry, sections
from configs.settings import Redis, Settings, Storage

ENTRIES = [entry for _, _, entries in sections() for entry in entries]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_field_has_its_manual(entry: Entry) -> None:
    assert len(entry.text) > 10, f"{entry.key}: a docstring under the field says what it means"
    assert entry.text.endswith("."), f"{entry.key}: the manual is made of sentences"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_every_default_is_of_its_kind(entry: Entry) -> None:
    assert read(known()[entry.key].kind, entry.default, is_text=False) == entry.default
    if isinstance(entry.default, bool | int | float | str):
        assert read(known()[entry.key].kind, str(entry.default), is_text=True) == entry.default


def test_the_manual_covers_every_setting() -> None:
    fields = {
        f"{section.name}.{field.name}"
        for section in dataclasses.fields(Settings)
        for field in dataclasses.fields(section.default)  # type: ignore[arg-type]
    }
    assert {entry.key for entry in ENTRIES} == fields == set(known())
    assert all(meaning.endswith(".") for _, meaning, _ in sections())


def test_sections_are_frozen_and_slotted() -> None:
    for section in dataclasses.fields(Settings):
        value: Any = section.default
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, 1)
        assert not hasattr(value, "__dict__"), section.name


def test_no_secret_in_a_repr() -> None:
    settings = Settings(
        redis=Redis(url="redis://lim:hunter2@127.0.0.1:6379/0"),
        storage=Storage(access_key="AKIA1", secret_key="s3cr3t"),
    )
    for shown in (repr(settings), str(settings.storage), f"{settings.redis}"):
        assert not [secret for secret in ("hunter2", "AKIA1", "s3cr3t") if secret in shown]
    assert "redis://lim:***@127.0.0.1:6379/0" in repr(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


def test_an_empty_secret_is_shown_as_empty() -> None:
    """So that `lim settings` tells whether one is set."""
    assert visible(Storage())["secret_key"] == ""
    assert visible(Storage(secret_key="x"))["secret_key"] == HIDDEN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:pass@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:pass@host", "redis://:***@host"),
        ("rediss://:p:a@s/s@host/1", "rediss://:***@host/1"),
        ("redis://host:6379/0?password=pass&db=1", "redis://host:6379/0?password=***&db=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("connecting to redis://u:p@a and s3://k:s@b failed", "connecting to redis://u:***@a and s3://k:***@b failed"),
        ("me@example.org: 5", "me@example.org: 5"),
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
    ],
)
def test_passwords_in_urls_are_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown
