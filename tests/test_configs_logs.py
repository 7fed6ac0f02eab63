"""Logs on standard error: time with zone, level, logger, message, and no password."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from configs.logs import PACKAGES, set_up
from configs.settings import Log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own are not for `force` to close
    yield
    root.handlers, root.level = handlers, level
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.NOTSET)


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(Log())
    before = datetime.now().astimezone()
    logging.getLogger("matcher.watch").info("Loaded %s in %.1f s.", "staff", 1.25)
    captured = capsys.readouterr()
    assert captured.out == ""
    time, rest = captured.err.split(" ", 1)
    assert rest == "INFO    matcher.watch  Loaded staff in 1.2 s.\n"
    written = datetime.fromisoformat(time)
    assert written.utcoffset() is not None
    assert abs((written - before).total_seconds()) < 5


def test_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(Log(format="json"))
    logging.getLogger("pipeline.build").warning('two\nlines and a "quote"')
    (line,) = capsys.readouterr().err.splitlines()
    data = json.loads(line)
    assert datetime.fromisoformat(data.pop("time")).utcoffset() is not None
    assert data == {"level": "WARNING", "logger": "pipeline.build", "message": 'two\nlines and a "quote"'}


@pytest.mark.parametrize("form", ["default", "json"])
def test_no_password_in_message_or_traceback(capsys: pytest.CaptureFixture[str], form: str) -> None:
    set_up(Log(format=form))  # type: ignore[arg-type]

    def refuse(url: str) -> None:
        raise ConnectionError(f"{url}: refused")

    try:
        refuse("redis://lim:hunter2@host")
    except ConnectionError:
        logging.getLogger("matcher").exception("No answer from %s.", "redis://lim:hunter2@host")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert text.count("redis://lim:***@host") == 3, "message, source line, error"
    assert "Traceback" in text


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_the_level_is_for_our_own_loggers(capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
    set_up(Log(level=level))  # type: ignore[arg-type]
    ours, others = logging.getLogger("manager.up"), logging.getLogger("botocore")
    for logger in (ours, others):
        logger.debug("debug")
        logger.info("info")
        logger.warning("warning")
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "manager.up" in line]) == shown
    assert [line.split("  ")[-1] for line in lines if "botocore" in line] == ["warning"]


def test_setting_up_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(Log())
    set_up(Log())
    logging.getLogger("configs").error("once")
    assert capsys.readouterr().err.count("once") == 1
    assert isinstance(logging.getLogger().handlers[0], logging.StreamHandler)
    assert sys.stderr is not None
