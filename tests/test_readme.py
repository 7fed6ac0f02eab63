"""What README.md tells a newcomer to type works when it is typed, in that order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import click
import pyarrow.parquet as pq
import pytest
from waiting import wait_until

from configs.cli import lim
from configs.discovery import is_running, up_file

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Block:
    """A fenced block; `is_background` where the comment <!-- background --> stands above it."""

    language: str
    text: str
    is_background: bool

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, without comments, continued lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = [shlex.join(shlex.split(line, comments=True)) for line in lines]
        return [line for line in found if line]


def blocks(text: str) -> list[Block]:
    found = re.findall(r"(<!-- background -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(language, body, bool(mark)) for mark, language, body in found]


README = (ROOT / "README.md").read_text()
BLOCKS = blocks(README)
SHELL = [block for block in BLOCKS if block.language in {"bash", "sh", "shell"}]
COMMANDS = [command for block in SHELL for command in block.commands]
MADE = [command for command in COMMANDS if command.startswith("make")]
SENTENCES = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
INLINE = sorted(set(re.findall(r"`((?:make|lim|\.venv/bin/lim|--)[^`\n]*)`", SENTENCES)))


def test_the_page_is_what_these_tests_expect() -> None:
    """Otherwise they would pass without running anything."""
    assert {block.language for block in BLOCKS} <= {"bash", "python", ""}, "a block without a language is a picture"
    assert {command.split()[1] for command in MADE} >= {"demo", "test"}
    assert {command.split()[1] for command in COMMANDS if "bin/lim" in command} >= {"up", "build", "match"}
    assert len([block for block in BLOCKS if block.language == "python"]) == 1
    assert len([block for block in BLOCKS if block.is_background]) == 1
    first = BLOCKS[0].text + README[: README.index("```")]
    assert len(first.split()) < 150, "what it is, then what to type"


@pytest.mark.parametrize("command", sorted({*MADE, *(text for text in INLINE if text.startswith("make"))}))
def test_what_make_is_asked_for_exists(command: str) -> None:
    """Tried dry: the targets themselves are what runs these tests."""
    done = subprocess.run(["/bin/sh", "-c", f"{command} -n"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    options = re.findall(r"_ARGS=\"?([^\"`]+)", command)
    target = shlex.split(command)[1] if len(shlex.split(command)) > 1 else ""
    if options:
        assert_options(target, options[0])


def assert_options(name: str, text: str) -> None:
    """The command, a target's name with a dash for a space, has every option that the text names."""
    command: click.Command | None = lim
    for word in name.split("-"):
        assert isinstance(command, click.Group), f"lim {name} is no command"
        command = command.get_command(click.Context(command), word)
    assert command is not None, f"lim {name} is no command"
    known = {option for parameter in command.params for option in parameter.opts}
    named = {word.partition("=")[0] for word in shlex.split(text) if word.startswith("--")}
    assert named <= known | {"--help"}, f"lim {name} has no {named - known}"


@pytest.mark.parametrize("text", [text for text in INLINE if not text.startswith("make")])
def test_commands_within_sentences_exist(text: str) -> None:
    words = text.split()
    if words[0].startswith("--"):  # an option of the command that the sentence is about
        option = words[0].partition("=")[0]
        names = lim.list_commands(click.Context(lim))
        having = [name for name in names if option in options_of(name)]
        assert having, f"no command has {option}"
    elif len(words) > 1:
        assert_options(words[1], " ".join(words[2:]))


def options_of(name: str) -> set[str]:
    command = lim.get_command(click.Context(lim), name)
    return {option for parameter in command.params for option in parameter.opts} if command else set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has just run `make demo`."""
    folder = tmp_path / "lim"
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, words in {"lim": "-m configs.cli", "python": ""}.items():
        (binaries / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n')
        (binaries / name).chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIM_", "AWS_", "XDG_"))}
    return {**clean, "HOME": str(tmp_path), "PWD": str(folder)}


def shell(command: str, environ: dict[str, str], output: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/bash", "-c", f"set -euo pipefail\n{command}"], cwd=environ["PWD"], env=environ, stdin=subprocess.DEVNULL,
        stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_what_it_says_works(newcomer: dict[str, str], tmp_path: Path) -> None:
    """Every block in its order; what is marked so runs in the background, as in a second terminal."""
    background: list[subprocess.Popen[str]] = []
    log = tmp_path / "log"
    with log.open("w") as output:
        try:
            for block in BLOCKS:
                if block.language == "python":
                    (Path(newcomer["PWD"]) / "example.py").write_text(block.text)
                    finished(shell(".venv/bin/python example.py", newcomer, output), "the Python block", log)
                elif block in SHELL and not block.commands[0].startswith("make"):
                    started = shell(block.text, newcomer, output)
                    if block.is_background:
                        background.append(started)
                        wait_until(partial(stack_is_up, started, newcomer, log), timeout_s=90, what="`lim up`")
                    else:
                        finished(started, block.text, log)
        finally:
            for process in background:
                os.killpg(process.pid, signal.SIGINT)
            endings = [process.wait(timeout=60) for process in background]
    assert endings == [0], log.read_text()
    assert not up_file(newcomer).exists(), "a stopped stack is not found any more"
    table = pq.read_table(Path(newcomer["PWD"]) / "answers.parquet")
    assert table.column_names == ["probe", "rank", "id", "similarity"]
    assert table.num_rows > 0
    assert "answers from index" in log.read_text(), "what the Python block prints"


def finished(process: subprocess.Popen[str], what: str, log: Path) -> None:
    assert process.wait(timeout=180) == 0, f"{what}\n{log.read_text()[-4000:]}"


def stack_is_up(process: subprocess.Popen[str], environ: dict[str, str], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return is_running(up_file(environ))
