"""Logs on standard error: lines for people or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from configs.settings import Log


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with time, level, logger and message."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(log: Log) -> None:
    """Send our logs to standard error; other libraries' only from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    zone = datetime.now().astimezone().strftime("%z")
    plain = logging.Formatter(
        f"%(asctime)s.%(msecs)03d{zone} %(levelname)-7s %(name)s  %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    handler.setFormatter(Json() if log.format == "json" else plain)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("configs", "pipeline", "matcher", "manager"):
        logging.getLogger(package).setLevel(log.level)
