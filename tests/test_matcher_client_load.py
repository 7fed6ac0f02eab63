"""The load that `lim load` puts on, and the table that `lim match` writes."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from echo_matcher import DIM, Fields, answered, echoing, refused

from configs.settings import Client
from matcher.client import MatchClient
from matcher.errors import NoIndex
from matcher.load_run import Load, Measured, run
from matcher.match_table import ROWS, Table
from matcher.merge import Sighting
from matcher.outputs import OutputError
from matcher.probes import ProbesError, read_probes
from matcher.progress import Bar

PROBES = np.eye(DIM, dtype=np.float32)


async def loaded(url: str, load: Load) -> Measured:
    async with MatchClient(url, Client(refresh_s=0.1)) as client:
        with Bar("requests", load.requests) as bar:
            measured = await run(client, load, bar)
    assert bar.done == load.requests
    return measured


async def test_a_stall_counts_for_every_request_that_was_due_meanwhile(redis_url: str) -> None:
    async with echoing(redis_url) as echo:

        def stalling(fields: Fields) -> list[dict[str, Any]]:
            if len(echo.seen) == 50:
                until = time.monotonic() + 0.4
                while (
                    time.monotonic() < until
                ):  # the matcher stands still and, as it shares our loop, so does the client
                    pass
            return [answered(fields)]

        echo.reply = stalling
        load = Load(labels=("mine",), probes=PROBES, requests=300, rate=500)
        measured = await loaded(redis_url, load)
    late = [latency for latency in measured.latencies if latency > 0.1]
    assert len(measured.latencies) == 300
    assert len(late) >= 100  # 500/s for the first 0.3 s of the stall; only one would be late if we had waited for it
    assert measured.figures()["max_ms"] >= 390


async def test_a_closed_loop_keeps_its_bound_and_its_answers(redis_url: str) -> None:
    async with echoing(redis_url) as echo:
        echo.serving["other"] = "two"
        await echo.announce()
        load = Load(labels=("mine", "other"), probes=PROBES, requests=41, in_flight=7, keep=True)
        measured = await loaded(redis_url, load)
    assert sorted(measured.answers) == list(range(41))
    assert [measured.answers[number].label for number in range(4)] == ["mine", "other", "mine", "other"]
    asked = [np.frombuffer(fields[b"descriptor"], np.float32).argmax() for fields in echo.seen[1:]]
    assert sorted(asked) == sorted(number % DIM for number in range(41))


async def test_answers_are_not_kept_unasked(redis_url: str) -> None:
    async with echoing(redis_url):
        measured = await loaded(redis_url, Load(labels=("mine",), probes=PROBES, requests=20))
    assert len(measured.latencies) == 20
    assert not measured.answers


@pytest.mark.parametrize("rate", [None, 2_000.0])
async def test_failures_are_counted_with_the_first_message(redis_url: str, rate: float | None) -> None:
    async with echoing(redis_url) as echo:
        echo.reply = lambda fields: [refused(26303, "broken")] if len(echo.seen) > 11 else [answered(fields)]
        measured = await loaded(
            redis_url, Load(labels=("mine", "nobody's"), probes=PROBES, requests=40, in_flight=1, rate=rate)
        )
    figures = measured.figures()
    assert figures["answered"] == 10
    assert figures["errors"] == {"26303": 10, "26304": 20}
    assert "broken" in measured.messages[26303]
    assert "nobody serves" in measured.messages[26304]


async def test_the_first_request_says_what_is_wrong_with_all(redis_url: str) -> None:
    with pytest.raises(NoIndex, match="nobody serves label 'mine'"):
        await loaded(redis_url, Load(labels=("mine",), probes=PROBES, requests=5))


FOUND = [[Sighting("a", 0.9, "one"), Sighting(7, 0.5, "two")], [], [Sighting("b,\"'", -0.25, "one")]]
EXPECTED = [(0, 1, "a", 0.9, "one"), (0, 2, "7", 0.5, "two"), (2, 1, "b,\"'", -0.25, "one")]


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (int(row["probe"]), int(row["rank"]), str(row["id"]), float(row["similarity"]), row["label"]) for row in rows
    ]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_every_format_holds_the_same_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    with Table(path, labelled=True) as table:
        for probe, found in enumerate(FOUND):
            table.add(probe, found)
    assert [(*row[:3], pytest.approx(row[3]), row[4]) for row in rows_of(path)] == EXPECTED
    assert table.count == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_table_that_ends_by_an_error_leaves_the_old_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    path.write_text("old")

    def interrupted() -> None:
        with Table(path, labelled=True) as table:
            for probe in range(ROWS + 1):
                table.add(probe, FOUND[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"expected a name that ends in .parquet, .csv, .jsonl, got '.xls'"):
        Table(tmp_path / "out.xls", labelled=False)
    with pytest.raises(OutputError, match=r"expected a folder .* got no such folder"):
        Table(tmp_path / "missing" / "out.csv", labelled=False)


def test_quantised_probes_are_not_taken_for_floats(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.ones((3, 4), np.uint8))
    with pytest.raises(ProbesError, match="expected floats, got uint8: turn quantised"):
        read_probes(tmp_path / "p.npy")
