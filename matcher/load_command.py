"""`lim load`: puts a load on matchers and measures it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from configs.cli import Context
from configs.settings import Settings
from matcher.client import MatchClient
from matcher.errors import MatchError
from matcher.merge import Answer
from matcher.outputs import expect_folders
from matcher.probes import read_probes


@dataclass(slots=True)
class Result:
    """What was measured."""

    latencies: list[float] = field(default_factory=list)
    """Seconds of answered requests, in order of completion."""
    errors: Counter[int] = field(default_factory=Counter)
    answers: dict[int, Answer] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    missing: int = 0
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when every request has ended."""

    def ended(self) -> None:
        """One request more has an answer or an error."""
        self.missing -= 1
        if not self.missing:
            self.whole.set()


@click.command()
@click.option("--label", "labels", multiple=True, help="The list to ask for; several are asked in turn.")
@click.option("--labels-from", type=click.Path(path_type=Path, exists=True), help="A file with a label per line.")
@click.option(
    "--probes", type=click.Path(path_type=Path), required=True, help="A .npy, .npz or .parquet file of vectors."
)
@click.option("--requests", default=0, help="How many to send; by default each probe once.")
@click.option("--limit", default=10, show_default=True, help="Candidates per probe.")
@click.option("--in-flight", default=512, show_default=True, help="Requests on their way at once (closed loop).")
@click.option("--rate", type=float, help="Requests a second at a fixed pace (open loop), whatever is still on its way.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    help="Write ids and similarities to this .npz, in order of the probes.",
)
@click.option("--json", "json_file", help="Write the figures to this file ('-' = standard output).")
@click.pass_obj
def load(context: Context, /, **options: Any) -> None:
    """Send probes as fast as answers come, or at a fixed rate; latency counts from when a request was due."""
    labels = [*options["labels"], *(options["labels_from"].read_text().split() if options["labels_from"] else ())]
    if not labels:
        raise click.UsageError("give --label or --labels-from")
    expect_folders(options["answers"], options["json_file"])
    probes = read_probes(options["probes"])
    count = options["requests"] or len(probes)
    result = asyncio.run(_run(context.settings, labels, probes, count, options))
    if options["answers"]:
        _keep(options["answers"], result, options["limit"])
    figures = summary(result)
    if options["json_file"] == "-":
        click.echo(json.dumps(figures))
    elif options["json_file"]:
        Path(options["json_file"]).write_text(json.dumps(figures))
    else:
        Console().print_json(data=figures)


async def _run(
    settings: Settings, labels: list[str], probes: NDArray[np.float32], count: int, options: dict[str, Any]
) -> Result:
    in_flight = options["in_flight"] if not options["rate"] else 1 << 20
    client_settings = replace(settings.client, in_flight=in_flight)
    result = Result(missing=count)
    async with MatchClient(settings.redis.url, client_settings) as client:
        await client.match(
            labels[0], probes[0], limit=options["limit"]
        )  # connections and pages are there before the clock starts
        began, cpu = time.perf_counter(), time.process_time()
        said = began
        slots = asyncio.Semaphore(in_flight)
        for number in range(count):
            due = time.perf_counter()
            if options["rate"]:
                due = began + number / options["rate"]
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            else:
                await slots.acquire()
                due = time.perf_counter()
            await _send(
                client,
                labels[number % len(labels)],
                probes[number % len(probes)],
                options["limit"],
                (result, slots, due, number),
            )
            if sys.stderr.isatty() and time.perf_counter() - said > 0.5:
                said = time.perf_counter()
                click.echo(f"\r{number:,} of {count:,} sent, {number / (said - began):,.0f}/s ", nl=False, err=True)
        await result.whole.wait()
        result.seconds, result.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return result


async def _send(
    client: MatchClient,
    label: str,
    probe: NDArray[np.float32],
    limit: int,
    about: tuple[Result, asyncio.Semaphore, float, int],
) -> None:
    result, slots, due, number = about

    def landed(future: asyncio.Future[Answer]) -> None:
        slots.release()
        error = future.exception()
        if error is None:
            result.latencies.append(time.perf_counter() - due)
            result.answers[number] = future.result()
        else:
            result.errors[getattr(error, "error_code", 0)] += 1
        result.ended()

    try:
        (await client.send(label, probe, limit=limit)).add_done_callback(landed)
    except MatchError as error:
        slots.release()
        result.errors[error.error_code] += 1
        result.ended()


def summary(result: Result) -> dict[str, Any]:
    """Figures as JSON fields; milliseconds of answered requests."""
    answered = len(result.latencies)
    total = answered + result.errors.total()
    points = np.percentile(result.latencies, [50, 99, 100]) * 1e3 if answered else [0.0] * 3
    return {
        "requests": total, "answered": answered, "errors": {str(code): count for code, count in result.errors.items()},
        "seconds": result.seconds, "probes_per_s": answered / result.seconds if result.seconds else 0.0,
        "p50_ms": float(points[0]), "p99_ms": float(points[1]), "max_ms": float(points[2]),
        "cpu_us_per_request": result.cpu_seconds / max(total, 1) * 1e6,
    }  # fmt: skip


def _keep(path: Path, result: Result, limit: int) -> None:
    """Ids as text (n, limit), similarities (n, limit), and which probe each row answers (n,)."""
    order = sorted(result.answers)
    ids, similarities = np.full((len(order), limit), "", object), np.full((len(order), limit), -1.0, np.float32)
    for row, number in enumerate(order):
        for rank, one in enumerate(result.answers[number].candidates):
            ids[row, rank], similarities[row, rank] = str(one.id), one.similarity
    np.savez(path, probe=np.array(order), ids=ids.astype(str), similarities=similarities)
