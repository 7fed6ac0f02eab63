"""The client against a real Redis and a matcher that answers as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from echo_matcher import DIM, Echo, answered, echoing, refused
from waiting import eventually

from configs.settings import Client
from matcher import keys
from matcher.client import MatchClient
from matcher.client_sync import SyncMatchClient
from matcher.errors import BY_CODE, BadDescriptor, BadRequest, Busy, Expired, NoIndex, SearchFailed, TimedOut
from matcher.merge import Candidate
from matcher.routes import Route

PROBE = np.eye(1, DIM, dtype=np.float32)[0]
QUICK = Client(timeout_ms=2_000, refresh_s=0.1)


@pytest.fixture
async def echo(redis_url: str) -> AsyncIterator[Echo]:
    async with echoing(redis_url) as matcher:
        yield matcher


@pytest.fixture
async def client(redis_url: str, echo: Echo) -> AsyncIterator[MatchClient]:
    async with MatchClient(redis_url, QUICK) as one:
        yield one


async def test_an_answer_says_where_it_comes_from(client: MatchClient, echo: Echo) -> None:
    answer = await client.match("mine", PROBE, limit=2, threshold=0.25)
    assert (answer.label, answer.index_id, answer.watermark, answer.partial) == ("mine", "one", None, False)
    best, second = answer.candidates
    assert best == Candidate(f"{client.id}-1", 0.9)
    assert (second.id, second.similarity) == (7, 0.5)
    [fields] = echo.seen
    assert fields[b"limit"] == b"2"
    assert fields[b"threshold"] == b"0.25"
    assert fields[b"ttl_ms"] == b"2000"
    assert fields[b"descriptor"] == PROBE.tobytes()


async def test_every_one_of_many_gets_its_own_answer(client: MatchClient) -> None:
    answers = await asyncio.gather(*(client.match("mine", PROBE) for _ in range(2_000)))
    names = {answer.candidates[0].id for answer in answers}
    assert len(names) == 2_000
    assert client.counts.repeated == client.counts.duplicates == 0


async def test_a_stream_of_answers_keeps_the_order_and_the_bound(redis_url: str, echo: Echo) -> None:
    echo.reply = lambda fields: [answered(fields, result=[[fields[b"descriptor"].hex(), 1.0]])]
    probes = np.random.default_rng(1).standard_normal((300, DIM)).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    async with MatchClient(redis_url, Client(in_flight=16)) as client:
        answers = await client.match_many("mine", probes)
        assert [answer.candidates[0].id for answer in answers] == [probe.tobytes().hex() for probe in probes]
        half_way = client.stream("mine", probes)
        await anext(half_way)
        assert client.counts.sent <= 300 + 17
        await half_way.aclose()


async def test_a_stream_raises_the_first_error(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: [refused(26303, "broken")] if fields[b"rid"].endswith(b"-3") else [answered(fields)]
    stream = client.stream("mine", [PROBE] * 9)
    assert (await anext(stream)).candidates[0].id == f"{client.id}-1"
    assert (await anext(stream)).candidates[0].id == f"{client.id}-2"
    with pytest.raises(SearchFailed, match="mine: broken"):
        await anext(stream)
    await eventually(lambda: client.under_way == 0)


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - {26312}))
async def test_a_refusal_is_raised_as_what_it_is(client: MatchClient, echo: Echo, code: int) -> None:
    echo.reply = lambda fields: [refused(code, "for a reason")]
    with pytest.raises(BY_CODE[code], match="mine: for a reason") as caught:
        await client.match("mine", PROBE)
    assert caught.value.error_code == code


async def test_an_unknown_code_is_a_failed_search(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: [refused(99, "who knows")]
    with pytest.raises(SearchFailed, match="unknown code 99: who knows"):
        await client.match("mine", PROBE)


async def test_nobody_serves_a_label_and_nothing_is_sent(client: MatchClient, echo: Echo) -> None:
    with pytest.raises(NoIndex, match="nobody serves label 'other'") as caught:
        await client.match("other", PROBE)
    assert caught.value.error_code == 26304
    assert client.counts.sent == 0
    assert not await echo.redis.exists(keys.index_stream("other", "one"))


async def test_a_lapsed_announcement_is_noticed(client: MatchClient, echo: Echo) -> None:
    await client.match("mine", PROBE)
    echo.serving = {}
    await echo.redis.delete(keys.announcement(echo.name))

    async def is_gone() -> bool:
        return await client.index_of("mine") == ""

    await eventually(is_gone)
    with pytest.raises(NoIndex, match="nobody serves label 'mine'"):
        await client.match("mine", PROBE)


async def test_a_label_that_appears_is_found_within_the_refresh(client: MatchClient, echo: Echo) -> None:
    with pytest.raises(NoIndex):
        await client.match("new", PROBE)
    echo.serving["new"] = "first"
    await echo.announce()
    await eventually(lambda: client.index_of("new"), timeout_s=1.0)
    assert (await client.match("new", PROBE)).index_id == "first"


async def test_a_shard_that_nobody_holds_is_waited_for_then_named(
    redis_url: str, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matcher.routes.PATIENCE_S", 0.5)
    echo.shards = 2
    await echo.announce()
    echo.reply = lambda fields: [answered(fields, shards=2)]
    async with MatchClient(redis_url, QUICK) as client:
        with pytest.raises(TimedOut, match=r"only shards \[0\] answered, of 2 of index one; nobody holds shards \[1\]"):
            await client.match("mine", PROBE, timeout_s=0.2)

        async def at_once() -> bool:
            try:
                await client.match("mine", PROBE, timeout_s=0.2)
            except NoIndex as error:
                return "label 'mine': nobody serves shards [1] of index one: start more matchers" in str(error)
            except TimedOut:
                return False
            raise AssertionError

        await eventually(at_once)
        partial = await client.match("mine", PROBE, allow_partial=True, timeout_s=0.2)
        assert (partial.partial, partial.shards, partial.missing) == (True, 2, (1,))
        echo.held = (0, 1)
        await echo.announce()
        echo.reply = lambda fields: [answered(fields, shards=2, shard=shard) for shard in range(2)]
        await eventually(lambda: not client._exchange.routes.use("mine").missing)
        assert (await client.match("mine", PROBE)).missing == ()


async def test_what_one_shard_refuses_does_not_spoil_an_answer_that_may_be_partial(
    client: MatchClient, echo: Echo
) -> None:
    echo.shards, echo.held = 2, (0, 1)
    await echo.announce()
    await eventually(lambda: client.index_of("mine"))
    await eventually(lambda: (client._exchange.routes.use("mine") or Route()).shards == 2)
    echo.reply = lambda fields: [
        answered(fields, shards=2), {**refused(26303, "its disk is gone"), "index_id": "one", "shard": 1},
    ]  # fmt: skip
    began = time.monotonic()
    assert (await client.match("mine", PROBE, allow_partial=True)).missing == (1,)
    assert time.monotonic() - began < 1  # not only at the deadline
    with pytest.raises(SearchFailed, match="its disk is gone"):
        await client.match("mine", PROBE)
    echo.reply = lambda fields: [
        {**refused(26303, "its disk is gone"), "index_id": "one", "shard": shard} for shard in range(2)
    ]
    with pytest.raises(SearchFailed, match="its disk is gone"):
        await client.match("mine", PROBE, allow_partial=True)


async def test_a_thousand_new_labels_do_not_wait_for_each_other(redis_url: str, echo: Echo) -> None:
    names = [f"list-{number}" for number in range(1_000)]
    echo.serving = dict.fromkeys(names, "one")
    await echo.announce()
    await echo.redis.config_resetstat()
    async with MatchClient(redis_url, Client(refresh_s=1.0)) as client:
        assert {await client.index_of(name) for name in names} == {"one"}
        looks = await echo.redis.info("commandstats")
    assert looks["cmdstat_zrange"]["calls"] < 50  # full looks; every new label asks for itself alone


async def test_busy_is_told_from_the_published_backlog(client: MatchClient, echo: Echo) -> None:
    await client.match("mine", PROBE)
    await echo.redis.set(keys.backlog("mine"), 10_000)
    await eventually(lambda: client.backlog("mine") == 10_000)
    sent = client.counts.sent
    with pytest.raises(Busy, match=r"10000 requests are waiting, 10000 are allowed \(client.max_backlog\)"):
        await client.match("mine", PROBE)
    assert client.counts.sent == sent
    await echo.redis.delete(keys.backlog("mine"))
    await eventually(lambda: client.backlog("mine") == 0)
    await client.match("mine", PROBE)


async def test_a_wrong_dimension_is_refused_with_both_numbers(client: MatchClient) -> None:
    with pytest.raises(BadDescriptor, match=rf"expected a descriptor of {DIM} numbers, got shape \(512,\)"):
        await client.match("mine", np.ones(512, np.float32))
    assert client.counts.sent == 0


async def test_a_limit_of_nought_is_refused(client: MatchClient) -> None:
    with pytest.raises(BadRequest, match="limit: expected 1 or more, got 0"):
        await client.match("mine", PROBE, limit=0)


async def test_one_probe_against_several_labels(client: MatchClient, echo: Echo) -> None:
    echo.serving = {"mine": "one", "wanted": "nine"}
    await echo.announce()
    found = {b"mine": [["a", 0.9], ["b", 0.3]], b"wanted": [["a", 0.7], ["z", 0.5]]}
    echo.reply = lambda fields: [answered(fields, result=found[fields[b"label"]])]
    seen = await client.match_labels(["mine", "wanted"], PROBE, limit=3)
    assert [tuple(one) for one in seen] == [
        ("a", 0.9, "mine"),
        ("a", 0.7, "wanted"),
        ("z", 0.5, "wanted"),
    ]


async def test_a_label_that_does_not_answer_is_not_passed_over(client: MatchClient) -> None:
    with pytest.raises(NoIndex, match="nobody serves label 'missing'"):
        await client.match_labels(["mine", "missing"], PROBE)


async def test_expired_is_raised_as_such(client: MatchClient, echo: Echo) -> None:
    echo.reply = lambda fields: [refused(26310, "waited 2 s")]
    with pytest.raises(Expired, match="waited 2 s"):
        await client.match("mine", PROBE)


async def test_a_client_must_be_opened(redis_url: str) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await MatchClient(redis_url).match("mine", PROBE)
    with pytest.raises(RuntimeError, match="with"):
        SyncMatchClient(redis_url).match("mine", PROBE)


async def test_the_synchronous_client_from_many_threads(redis_url: str, echo: Echo) -> None:
    def work() -> set[Any]:
        found: set[Any] = set()
        with SyncMatchClient(redis_url, QUICK) as client:
            threads = [
                threading.Thread(target=lambda: found.add(client.match("mine", PROBE).candidates[0].id))
                for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found.update(answer.candidates[0].id for answer in client.match_many("mine", np.tile(PROBE, (50, 1))))
            assert len(client.match_labels(["mine"], PROBE)) == 2
            with pytest.raises(NoIndex):
                client.match("other", PROBE)
        with pytest.raises(RuntimeError, match="not connected"):
            client.match("mine", PROBE)
        return found

    assert len(await asyncio.to_thread(work)) == 70
