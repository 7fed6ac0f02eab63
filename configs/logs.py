"""Logs on standard error: lines for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

from configs.hiding import without_password
from configs.settings import Log

PACKAGES = ("configs", "pipeline", "matcher", "manager")


class Plain(logging.Formatter):
    """Time with zone, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """ISO 8601 in local time."""
        return _time(record)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without passwords; the traceback, if there is one, below it."""
        return without_password(super().format(record))


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with time, level, logger and message, without passwords."""
        fields = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": without_password(record.getMessage()),
        }
        if record.exc_info:
            fields["trace"] = without_password(self.formatException(record.exc_info))
        return json.dumps(fields)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def set_up(log: Log) -> None:
    """Send our logs to standard error; other libraries' only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if log.format == "json" else Plain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(log.level)
