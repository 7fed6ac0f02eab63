"""`lim bench peers`: ours beside other engines at equal added FNIR."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from configs.cli import Context
from manager.bench.peers.engines import ENGINES
from manager.bench.peers.faces import FACES, Wanted
from manager.bench.peers.results import Result
from manager.bench.peers.running import How, run
from manager.bench.peers.shown import screen
from manager.bench.peers.table import table
from manager.embedded.interrupting import stop_in_order
from pipeline.generate.regimes import REGIMES

USUAL = ",".join(name for name, entry in ENGINES.items() if entry.usual)
WIDE = 170
"""Columns of a table that goes to a file."""


def _names(known: tuple[str, ...]) -> Any:
    """A comma-separated list of known names."""

    def read(_ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if unknown := [name for name in names if name not in known]:
            raise click.BadParameter(f"expected some of {', '.join(known)}, got {unknown[0]!r}", param=param)
        return names

    return read


@click.command()
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(100), help="People of a made regime.")
@click.option("--regimes", default=",".join(REGIMES), show_default=True, callback=_names(REGIMES), help="Made regimes.")
@click.option("--source", default="", help="Descriptors of your own, as the regime 'faces', instead of made ones.")
@click.option("--engines", default=USUAL, show_default=True, callback=_names(tuple(ENGINES)), help="Who takes part.")
@click.option("--limit-s", default=600.0, show_default=True, help="Seconds for building, for the points, for the gate.")
@click.option(
    "--repeats", default=5, show_default=True, type=click.IntRange(1), help="Interleaved rounds; medians count."
)
@click.option("--seconds", default=2.0, show_default=True, help="Length of an engine's turn in a round.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep vectors and peers' indexes here for the next run.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Every measured point.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="A picture, .html or .png.")
@click.pass_obj
def peers(context: Context, /, rows: int, regimes: tuple[str, ...], source: str, **how: Any) -> None:
    """Ours beside other engines: the same vectors, probes, threads and target; each in a process of its own.

    Every engine gets the cheapest operating point that passes the gate of `lim build`, or its best if none does.
    """
    stop_in_order()
    settings = context.settings
    wanted = [Wanted(FACES, 0, source, settings.quality)] if source else [
        Wanted(regime, rows, "", settings.quality) for regime in regimes
    ]  # fmt: skip
    results: list[Result] = []
    target = settings.quality.added_fnir
    with _work(how["work"]) as folder:
        plan = How(how["engines"], how["limit_s"], how["repeats"], how["seconds"], folder)
        for one in wanted:
            with screen() as shown:
                found = run(one, plan, context.loaded, shown)
            results += found
            console = Console()
            (console if console.is_terminal else Console(width=WIDE)).print(table(found, target))
            _write(results, target, how["json_file"], how["plot_file"])


@contextmanager
def _work(kept: Path | None) -> Iterator[Path]:
    """The folder of the run: a given one stays, another goes."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="lim-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # Postgres runs as somebody else where we are root
        yield Path(folder)


def _write(results: list[Result], target: float, json_file: Path | None, plot_file: Path | None) -> None:
    """After every regime, so that an interrupted run has left what it has."""
    entries = [entry for one in results for entry in one.entries()]
    if json_file is not None:
        part = json_file.with_name(json_file.name + ".part")
        part.write_text(json.dumps(entries, indent=1) + "\n")
        part.replace(json_file)
    if plot_file is not None:
        from manager.bench.peers.plot import save  # here: bokeh takes a second to load

        save(entries, target, plot_file)
