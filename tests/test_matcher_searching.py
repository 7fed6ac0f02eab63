"""From bytes to candidates: one copy, all idle threads, small labels first, and nothing that spins afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matchers import Wire
from published import Published, bucket, publish_index, unit_rows

from configs.errors import ConfigError
from configs.settings import Cache, Client
from matcher import keys
from matcher.answering import Answerer
from matcher.client import MatchClient
from matcher.connecting import connect
from matcher.deadlines import Bounds
from matcher.dealing import TILE, WORTH_S, Hand, dealt
from matcher.decoding import Job, decoded
from matcher.handling import Handler
from matcher.held import Held
from matcher.housekeeping import Housekeeping
from matcher.loader import Loader
from matcher.messages import Request, parse, unpacked
from matcher.residency import Residency
from matcher.searching import Searcher


@dataclass
class Loaded:
    """An index with what it was made from."""

    published: Published
    held: Held


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Loaded]]:
    """An exact index, a scan and a small list."""
    folder = tmp_path_factory.mktemp("indexes")
    store = bucket(folder / "bucket")
    loader = Loader(store, Cache(folder=str(folder / "cache")), {})
    found = {}
    lists = (("exact", "exact", 3_000, 64), ("scan", "scan", 3_000, 64), ("small", "exact", 30, 512))
    for seed, (label, recipe, count, dim) in enumerate(lists):
        made = publish_index(store, label, f"{label}-1", unit_rows(seed, count, dim), recipe=recipe)
        found[label] = Loaded(made, loader.load(made.manifest))
    yield found
    for one in found.values():
        loader.drop(one.held)


def requests(one: Loaded, count: int, channel: str = "nobody") -> list[Request]:
    label, index_id = one.published.manifest.label, one.published.manifest.index_id
    rows = one.published.rows.astype(np.float32)
    fields = [
        {
            "rid": f"{label}-{number}", "v": "1", "label": label, "index_id": index_id, "limit": "3", "ttl_ms": "60000",
            "response_channel": channel,
        }
        for number in range(count)
    ]  # fmt: skip
    return [
        parse(
            keys.index_stream(label, index_id), b"%d-0" % (10**15 + number),
            [word for pair in one_fields.items() for word in map(str.encode, pair)]
            + [b"descriptor", rows[number % len(rows)].tobytes()],
            keys.shard_group(0),
        )
        for number, one_fields in enumerate(fields)
    ]  # fmt: skip


def jobs_of(one: Loaded, count: int, cost_s: float = 0.0) -> list[Job]:
    one.held.cost_s = cost_s
    jobs, refused = decoded(one.held, requests(one, count), 1_000)
    assert not refused
    return jobs


def test_a_descriptor_is_copied_once_between_socket_and_search(indexes: dict[str, Loaded]) -> None:
    made = requests(indexes["small"], 500)
    size = sum(len(request.fields[b"descriptor"]) for request in made)
    decoded(indexes["small"].held, made, 1_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    jobs, _ = decoded(indexes["small"].held, made, 1_000)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (job,) = jobs
    assert job.queries.nbytes == size
    assert size <= after - before < 1.1 * size
    assert peak - before < 1.3 * size  # a second copy, even for a moment, would make it two
    assert all(np.shares_memory(tile.queries, job.queries) for tile in job.tiles(TILE))
    assert np.allclose(np.linalg.norm(job.queries, axis=1), 1, atol=1e-6)


def shapes(hands: list[Hand]) -> list[list[int]]:
    return [[len(job.requests) for job in hand] for hand in hands]


@pytest.mark.parametrize(
    ("label", "count", "cost_s", "idle", "expected"),
    [
        ("scan", 1, 0.01, 4, [[1]]),
        ("scan", 8, 2 * WORTH_S, 4, [[2]] * 4),
        ("scan", 3, 2 * WORTH_S, 4, [[1]] * 3),
        ("scan", 8, WORTH_S / 4, 4, [[4]] * 2),  # not worth more than two threads
        ("scan", 8, WORTH_S / 100, 4, [[8]]),
        ("scan", 8, 0.0, 4, [[8]]),  # not searched yet, so nobody knows what it costs
        ("scan", 8, 0.01, 1, [[8]]),  # the others are at work
        ("scan", 100, 0.01, 2, [[50]] * 2),
        ("scan", 300, 0.01, 2, [[64]] * 4 + [[44]]),  # a large load keeps its tiles
        ("exact", 30, 0.01, 4, [[8], [8], [8], [6]]),
        ("exact", 1, 0.01, 4, [[1]]),
        ("exact", 130, 0.01, 1, [[130]]),  # all rows are read once
        ("exact", 512, 0.01, 2, [[256]] * 2),
        ("exact", 600, 0.01, 2, [[256], [256], [88]]),
    ],
)
def test_a_load_is_dealt_to_the_threads_that_are_idle(
    indexes: dict[str, Loaded], label: str, count: int, cost_s: float, idle: int, expected: list[list[int]]
) -> None:
    assert shapes(dealt(jobs_of(indexes[label], count, cost_s), idle)) == expected


def test_small_labels_share_a_hand(indexes: dict[str, Loaded]) -> None:
    jobs = [job for label in ("scan", "small", "exact") for job in jobs_of(indexes[label], 5)]
    assert shapes(dealt(jobs, 2)) == [[5, 5, 5]]
    assert dealt([], 2) == []


@pytest.mark.parametrize("label", ["exact", "scan"])
@pytest.mark.parametrize("count", [1, 2, 19, 40, 65, 200])
async def test_however_it_is_dealt_the_answers_are_the_same(indexes: dict[str, Loaded], label: str, count: int) -> None:
    one, told = indexes[label], []
    searcher = Searcher(3, lambda job, numbers: told.append((len(job.requests), numbers.shape)))
    outcomes = await searcher.outcomes(jobs_of(one, count, cost_s=1.0))
    found = {request.rid.decode(): result for _, request, result in outcomes}
    similarities, ids = one.published.truth(one.published.rows[:count], 3)
    for number in range(count):
        result = found[f"{label}-{number}"]
        assert [name for name, _ in result] == ids[number]
        assert np.allclose([similarity for _, similarity in result], similarities[number], atol=1e-5)
    assert searcher.searched == sum(size for size, _ in told) == count
    assert searcher._busy == 0
    searcher.close()


async def test_what_is_busy_is_not_given_away(indexes: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch) -> None:
    searcher, idle = Searcher(4), []
    monkeypatch.setattr("matcher.searching.dealt", lambda jobs, free: idle.append(free) or dealt(jobs, free))
    large = asyncio.create_task(searcher.outcomes(jobs_of(indexes["scan"], 3 * TILE, cost_s=1.0)))
    await asyncio.sleep(0)
    assert searcher._busy == 4  # less than a tile for each of four threads: cut to 48
    small = await searcher.outcomes(jobs_of(indexes["exact"], 30, cost_s=1.0))
    await large
    assert len(small) == 30
    await searcher.outcomes(jobs_of(indexes["exact"], 30, cost_s=1.0))
    assert idle == [4, 1, 4]
    searcher.close()


def test_a_matcher_keeps_a_matrix_product_to_the_thread_that_asks_for_it() -> None:
    """Its search threads share the cores already."""
    program = (
        "import matcher.cli, numpy, threadpoolctl;"
        "print({one['num_threads'] for one in threadpoolctl.threadpool_info() if one['user_api'] == 'blas'"
        " and 'numpy' in one['filepath']})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "{1}"


async def test_single_requests_are_answered_before_the_large_group_beside_them(
    indexes: dict[str, Loaded], redis_url: str
) -> None:
    """All of them come in one read; the large group comes first in it."""
    redis, wire = connect(redis_url), Wire(redis_url)
    residency = Residency(0)
    for one in indexes.values():
        residency.add(one.held)
    searcher = Searcher(2)
    bounds = Bounds(5_000, 60_000, 1_000, lambda: 0.0)
    answerer = Answerer(redis, lambda: True)
    handler = Handler(residency, searcher, answerer, Housekeeping(redis, "group", 60_000), bounds)
    batch = requests(indexes["scan"], 1_000, wire.channel)
    batch += requests(indexes["small"], 2, wire.channel) + requests(indexes["exact"], 1, wire.channel)
    await handler.handle(batch, [])
    answers = [answer["rid"] for message in wire.messages(2) for answer in unpacked(message)]
    assert set(answers[:3]) == {"small-0", "small-1", "exact-0"}
    assert len(answers) == 1_003
    searcher.close()
    wire.close()
    await redis.aclose()


IDLE = """
import matcher.cli  # as the command does: before faiss
import asyncio, resource, sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from published import bucket, publish_index, unit_rows
from configs.settings import Cache
from matcher.decoding import Job
from matcher.loader import Loader
from matcher.messages import Request
from matcher.searching import Searcher

store = bucket(Path(sys.argv[2]) / "bucket")
made = publish_index(store, "mine", "one", unit_rows(1, 20_000))
held = Loader(store, Cache(folder=sys.argv[2] + "/cache"), {}).load(made.manifest)

def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

async def main():
    searcher, idle = Searcher(2), 0.0
    for _ in range(40):
        held.cost_s = 1.0
        await searcher.outcomes([Job(held, [Request(b"1-0", "s", b"r", {})] * 8, unit_rows(2, 8).astype(np.float32), 16)])
        before = spent()
        time.sleep(0.01)
        idle += spent() - before
    print(idle / 40 * 1e6)
    searcher.close()

asyncio.run(main())
"""


def test_nothing_spins_after_a_search_by_several_threads(tmp_path: Path) -> None:
    """libgomp's threads wait actively by default: 6 ms of both cores after each search, where 15 µs are needed."""
    command = [sys.executable, "-c", IDLE, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 500


def test_a_client_that_would_look_too_seldom_is_refused() -> None:
    MatchClient("redis://127.0.0.1:1", Client(refresh_s=3.0))
    with pytest.raises(ConfigError, match=r"client\.refresh_s: expected at most 3, .* got 3\.5: look more often"):
        MatchClient("redis://127.0.0.1:1", Client(refresh_s=3.5))
