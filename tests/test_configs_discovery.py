"""Which settings file is found, the one of a running `lim up` included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.discovery import find_file, is_running, up_file
from configs.errors import ConfigError
from configs.load import load


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with the state beside it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return tmp_path


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(home / "state")}


def written(environ: dict[str, str], pid: int | str, body: str = "[matcher]\nbatch = 77\n") -> Path:
    file = up_file(environ)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# pid {pid}\n{body}")
    return file


def test_the_order_of_the_search(environ: dict[str, str], home: Path) -> None:
    assert find_file(environ) is None
    up = written(environ, os.getpid())
    assert find_file(environ) == up
    Path("lim.toml").touch()
    assert find_file(environ) == Path("lim.toml")
    environ["LIM_SETTINGS"] = str(home / "mine.toml")
    assert find_file(environ) == home / "mine.toml"


def test_settings_of_a_running_stack_are_used(environ: dict[str, str]) -> None:
    up = written(environ, os.getpid())
    loaded = load(environ=environ)
    assert loaded.settings.matcher.batch == 77
    assert loaded.sources["matcher.batch"] == f"file {up}"


def test_the_file_of_a_killed_stack_is_ignored(environ: dict[str, str]) -> None:
    """A process that was killed cannot remove its file."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    up = written(environ, process.pid)
    assert is_running(up)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet waited for
    assert not is_running(up), "a zombie does not run"
    process.communicate()
    assert not is_running(up)
    assert load(environ=environ).settings.matcher.batch == 256


def test_the_number_of_a_killed_stack_may_be_anothers(environ: dict[str, str]) -> None:
    """After a reboot: a process that began after the file was written did not write it."""
    up = written(environ, os.getpid())
    assert is_running(up)
    os.utime(up, (1_000_000_000, 1_000_000_000))
    assert not is_running(up)


def test_a_process_of_another_user_is_alive(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_running(written(environ, os.getpid()))


def test_a_file_that_is_being_written_is_not_running(environ: dict[str, str]) -> None:
    up = written(environ, 1)
    up.write_text("")
    assert not is_running(up)


@pytest.mark.parametrize("text", ["[redis]\n", "# pid x\n", "# pid 99999999999999999999\n", "\0\1\2\n"])
def test_a_broken_file_is_an_error_that_says_what_to_do(environ: dict[str, str], text: str) -> None:
    up = written(environ, 1)
    up.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    assert str(up) in str(caught.value)
    assert "# pid N" in str(caught.value)
    assert "remove it" in str(caught.value)


def test_a_folder_in_its_place(environ: dict[str, str]) -> None:
    up_file(environ).mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_file(environ)


def test_where_the_file_lies(tmp_path: Path) -> None:
    assert up_file({"XDG_STATE_HOME": "/s"}) == Path("/s/lim/up.toml")
    assert up_file({"HOME": "/h"}) == Path("/h/.local/state/lim/up.toml")
    assert up_file({}) == Path.home() / ".local/state/lim/up.toml"
