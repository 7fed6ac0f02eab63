"""`make` sets up its environment once, on a Python that may lack venv, and passes arguments on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# It stands for Python: no venv until apt-get was called, and what it is asked for is written down.
PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in
  "-V") echo "Python $VERSION" ;;
  *version_info*) [ "$VERSION" != 3.9.2 ] ;;
  *"import ensurepip"*) [ -e "$VENV_PACKAGE" ] ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/lim"; exit "$VENV_FAILS" ;;
esac
"""

APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
[ "$1" = update ] || { [ "$APT_FAILS" = 0 ] && touch "$VENV_PACKAGE"; }
"""


class Checkout:
    """A folder with the Makefile, and a path on which Python, apt-get and sudo only write down what they are asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, self.folder)
        stubs = folder / "stubs"
        stubs.mkdir()
        there = {"python3": PYTHON, "apt-get": APT_GET, "sudo": '#!/bin/sh\nexec "$@"\n', "chromium": "#!/bin/sh\n"}
        for name, text in there.items():
            (stubs / name).write_text(text)
            (stubs / name).chmod(0o755)
        self.log = folder / "log"
        self.venv_package = folder / "venv-package"
        self.environ = {
            "PATH": f"{stubs}:{os.environ['PATH']}", "LOG": str(self.log), "VENV_PACKAGE": str(self.venv_package),
            "VERSION": "3.11.2", "APT_FAILS": "0", "VENV_FAILS": "0",
        }  # fmt: skip

    def make(self, *arguments: str, code: int = 0, **environ: str) -> tuple[str, list[str]]:
        """What make printed, and what was called meanwhile."""
        self.log.write_text("")
        done = subprocess.run(
            ["make", *arguments], cwd=self.folder, env=self.environ | environ, capture_output=True, text=True, timeout=30,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if "pip install" in call]


def test_a_second_run_installs_nothing(checkout: Checkout) -> None:
    checkout.venv_package.touch()
    said, calls = checkout.make("demo", "DEMO_ARGS=--rows 20000 --s3")
    assert "installing into .venv" in said
    assert len(installs(calls)) == 1
    assert "-e .[cpu,pipeline,images,matcher,manager,dev]" in installs(calls)[0]
    assert calls[-1] == "python demo --rows 20000 --s3"
    assert not [call for call in calls if "apt-get" in call]
    said, calls = checkout.make("demo")
    assert (said, calls) == ("", ["python demo"])


@pytest.mark.parametrize("fails", ["0", "1"])
def test_a_browser_for_the_tests_of_pages(checkout: Checkout, fails: str) -> None:
    checkout.venv_package.touch()
    said, calls = checkout.make("test", "BROWSERS=no-such-browser", APT_FAILS=fails)
    assert "installing Debian's chromium with apt-get" in said
    assert "apt-get install -y -q chromium" in calls
    assert ("chromium was not installed" in said) == (fails == "1")
    assert calls[-1].startswith("python -m pytest -m not drill and not gpu"), "without one the tests run as well"


def test_a_changed_project_is_installed_again(checkout: Checkout) -> None:
    checkout.venv_package.touch()
    checkout.make("lint")
    stamp = (checkout.folder / ".venv" / ".made").stat().st_mtime
    os.utime(checkout.folder / "pyproject.toml", (stamp + 10, stamp + 10))
    _, calls = checkout.make("lint")
    assert len(installs(calls)) == 1
    assert not [call for call in calls if "-m venv" in call], "into the same environment"


def test_debian_without_venv_gets_it_and_is_told(checkout: Checkout) -> None:
    said, calls = checkout.make("test")
    assert "installing Debian's python3-venv with apt-get" in said
    assert [call for call in calls if call.startswith("apt-get")] == [
        "apt-get update -q", "apt-get install -y -q python3-venv"
    ]  # fmt: skip
    assert calls[-1] == "python -m pytest -m not drill and not gpu -n 3 --dist worksteal"


def test_no_venv_to_be_had(checkout: Checkout) -> None:
    said, calls = checkout.make("test", code=2, APT_FAILS="1")
    assert "error: python3-venv is missing and was not installed" in said
    assert not installs(calls)


def test_a_venv_that_failed_half_way_is_not_taken_for_one(checkout: Checkout) -> None:
    checkout.venv_package.touch()
    checkout.make("test", code=2, VENV_FAILS="1")
    assert not (checkout.folder / ".venv").exists()
    _, calls = checkout.make("test")
    assert len(installs(calls)) == 1


def test_an_old_python_is_named(checkout: Checkout) -> None:
    said, calls = checkout.make("test", code=2, VERSION="3.9.2")
    assert "error: python3: expected Python 3.11 or newer, got Python 3.9.2" in said
    assert not installs(calls)


def test_clean_removes_what_was_made_and_nothing_else(checkout: Checkout) -> None:
    checkout.venv_package.touch()
    checkout.make("demo")
    kept = checkout.folder / "lim-bucket" / "catalog"
    kept.mkdir(parents=True)
    for name in ("configs", "pipeline", "matcher", "manager", "tests"):
        (checkout.folder / name / "__pycache__").mkdir(parents=True)
    checkout.make("clean")
    assert not (checkout.folder / ".venv").exists()
    assert not list(checkout.folder.rglob("__pycache__"))
    assert kept.exists(), "an index is nobody's litter"


def test_help_lists_every_target(checkout: Checkout) -> None:
    said, calls = checkout.make()
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert re.findall(r"^make (\S+) +\S", said, re.MULTILINE) == phony
    assert calls == []


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"
