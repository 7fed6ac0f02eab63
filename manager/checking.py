"""What a submission may ask for, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from configs.errors import ConfigError, LimError
from configs.hiding import without_password
from configs.load import changed
from configs.settings import Settings
from manager.errors import BadRequest
from manager.tasks.tasks import MOST_PRIORITY
from pipeline.artifact import quoted
from pipeline.order import check_label

if TYPE_CHECKING:
    from manager.submitting import Submission

FREE = ("build.", "quality.", "source.", "images.")
"""Sections that a submission may change; where things are is the managers' own affair."""

MOST_CHARACTERS = 10_000
"""Of a URL or of an option's value."""
MOST_OPTIONS = 200
MOST_QUOTED = 200
"""Characters of a label in a key: a folder's file systems know names of 255, temporary ones included."""
MOST_QUOTED_IN_S3 = 800
"""Keys have 1,024."""
MOST_OF_NAME = 100
TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""It becomes the index id, a part of keys."""
OF_PATHS = re.compile(r"[/\\*?\[\]{}#%]|^\.")
"""What would lead out of the place that source.template names, or to several."""


class Unfit(BadRequest):
    """Fields that cannot be what they are; `errors` by field, each with what was expected and what came."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def checked(wanted: Submission, settings: Settings) -> Settings:
    """The settings in force for it; raises Unfit with every field that is wrong."""
    errors = {}
    if wrong := wrong_label(wanted.label, settings.storage.bucket):
        errors["label"] = wrong
    for name, text in (("source", wanted.source), ("probes", wanted.probes)):
        if len(text) > MOST_CHARACTERS or (text and not text.isprintable()):
            errors[name] = (
                f"{name}: expected at most {MOST_CHARACTERS:,} printable characters, got {len(text):,} ({text[:40]!r})"
            )
    if wanted.task_id and not TASK_ID.fullmatch(wanted.task_id):
        errors["task_id"] = (
            f"task_id: expected up to 100 letters, digits, '.', '_' or '-', got {wanted.task_id[:120]!r}"
        )
    if abs(wanted.priority) > MOST_PRIORITY:
        errors["priority"] = f"priority: expected from -{MOST_PRIORITY:,} to {MOST_PRIORITY:,}, got {wanted.priority:,}"
    if len(wanted.submitted_by) > MOST_OF_NAME or not wanted.submitted_by.isprintable():
        errors["submitted_by"] = (
            f"submitted_by: expected at most {MOST_OF_NAME} printable characters, got {wanted.submitted_by[:40]!r}"
        )
    errors |= _wrong_options(wanted.options)
    try:
        settings = settings if "options" in errors else changed(settings, wanted.options, "options")
    except ConfigError as error:
        errors["options"] = f"options: {error}"
    if not wanted.source and "label" not in errors and (wrong := _wrong_list(wanted.label, settings.source.template)):
        errors["source"] = wrong
    if errors:
        raise Unfit(errors)
    return settings


def wrong_label(label: str, bucket: str) -> str:
    """Why a text can be no label in a bucket; empty where it can."""
    try:
        check_label(label)
    except LimError as error:
        return str(error)
    most = MOST_QUOTED_IN_S3 if bucket.startswith("s3://") else MOST_QUOTED
    if (length := len(quoted(label))) > most:
        return (
            f"label: expected at most {most} characters once percent-encoded, as names of files have them, got {length}"
        )
    return ""


def _wrong_options(options: Mapping[str, str]) -> dict[str, str]:
    if len(options) > MOST_OPTIONS:
        return {"options": f"options: expected at most {MOST_OPTIONS}, got {len(options)}"}
    for key, value in options.items():
        if not key.startswith(FREE):
            allowed = ", ".join(one + "*" for one in FREE)
            return {"options": f"options: expected settings of {allowed}, got {key[:100]!r}"}
        if len(value) > MOST_CHARACTERS or (value and not value.isprintable()):
            return {
                "options": f"options: expected at most {MOST_CHARACTERS:,} printable characters as {key}, got {value[:40]!r}"
            }
    return {}


def _wrong_list(label: str, template: str) -> str:
    if "{label}" not in template:
        return (
            "source: expected a file, a folder or a glob, or its URL, got none, and source.template, which says where lists "
            f"are (s3://lists/{{label}}/*.parquet), is {without_password(template)!r}: give the one or set the other"
        )
    if OF_PATHS.search(label):
        return (
            f"list_id: expected a name without / \\ * ? [ ] {{ }} # % or a leading dot, got {label!r}; or give a source"
        )
    return ""
