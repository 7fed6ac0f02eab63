"""The command `lim`: finds the subcommands of every installed package by entry points."""

from __future__ import annotations

import os
import signal
import sys
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click

from configs.errors import ConfigError, LimError
from configs.extras import explain
from configs.load import Loaded, export_credentials, load
from configs.logs import set_up
from configs.settings import Settings

GROUP = "lim.commands"

SUMMARIES = {
    "bench": "Measure side by side on this machine.",
    "build": "Index a file, a folder or a glob of vectors, or photos.",
    "cancel": "End tasks, whether they wait or are being built.",
    "cluster": "Run Dask workers on this machine, in the foreground.",
    "demo": "The main job, end to end, on made or given descriptors.",
    "gc": "Remove old versions, and what dead builds left.",
    "generate": "Make face-like descriptors with known identities.",
    "indexer": "Run a node that builds.",
    "labels": "Show published labels, or the versions of one.",
    "load": "Put a load on matchers and measure it.",
    "manager": "Run the service that plans, queues, leads builds, shows pages.",
    "match": "Ask matchers who is most similar to the probes of a file.",
    "matcher": "Run the service that answers.",
    "plan": "Say what builds would take: memory, bytes, time.",
    "recover": "Let an emptied Redis know what the bucket has.",
    "rollback": "Let another version of a label serve.",
    "scheduler": "Run the Dask scheduler, in the foreground.",
    "settings": "Show the effective settings with their sources.",
    "submit": "Have a list indexed by whoever leads.",
    "tasks": "Show what waits, what is being built, what ended how.",
    "up": "Run the embedded stack until Ctrl-C.",
    "version": "Show the version.",
}
"""What `lim --help` says without importing a command; a test compares it with the entry points."""


class Context:
    """What a subcommand gets: the settings, loaded when they are first needed."""

    def __init__(self, path: Path | None, overrides: dict[str, str]) -> None:
        self._path = path
        self._overrides = overrides

    @cached_property
    def loaded(self) -> Loaded:
        """Settings with their sources; sets up logs and credentials as a side effect of the first use."""
        loaded = load(self._path, os.environ, self._overrides)
        set_up(loaded.settings.log)
        export_credentials(loaded.settings.storage)
        return loaded

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        return self.loaded.settings


class Commands(click.Group):
    """Subcommands by entry point, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return sorted(_entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        entry = _entries().get(cmd_name)
        return None if entry is None else _imported(entry)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `lim --help`, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES.get(name, "")) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a library that it misses only while running is explained as well."""
        try:
            return super().invoke(ctx)
        except ImportError as error:
            entry = _entries().get(ctx.invoked_subcommand or "")
            raise (error if entry is None else _explained(entry, error)) from error


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _imported(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ImportError as error:
        raise _explained(entry, error) from error
    if not isinstance(command, click.Command):
        raise TypeError(f"{entry.value}: expected a click command, got {type(command).__name__}")
    return command


def _explained(entry: EntryPoint, error: ImportError) -> Exception:
    return explain(entry.name, error, entry.value.partition(".")[0]) or error


def _overrides(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign:
            raise ConfigError(f"--set {value}: expected section.field=value, got no '='")
        found[key] = text
    return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--settings", "path", type=click.Path(path_type=Path), help="Settings file (TOML).")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    callback=_overrides,
    metavar="SECTION.FIELD=VALUE",
    help="Override one setting; may be repeated.",
)
@click.option("--log-level", metavar="LEVEL", help="The same as --set log.level=LEVEL.")
@click.pass_context
def lim(ctx: click.Context, path: Path | None, overrides: dict[str, str], log_level: str | None) -> None:
    """Measured, immutable face indexes, and the matcher that answers from them."""
    ctx.obj = Context(path, overrides if log_level is None else {**overrides, "log.level": log_level.upper()})


def main(arguments: list[str] | None = None) -> None:
    """Run a command.  Exit codes: 0 done, 1 a reported error, 2 wrong usage, 130 interrupted."""
    try:
        code = lim.main(arguments, prog_name="lim", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone is handled
    except LimError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once more would only spoil the exit code
        signal.setitimer(signal.ITIMER_REAL, 0)  # whatever repeats it: a timer outlives its handler
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)  # what ctx.exit(code) was given


if __name__ == "__main__":
    main()
