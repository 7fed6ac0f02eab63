"""Sends answers, then acknowledges: in that order, in one round trip."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from matcher import keys
from matcher.consumer import Bad
from matcher.errors import MatchError, NoIndex
from matcher.held import Held, Whole
from matcher.keys import shard_of
from matcher.messages import Request, answer, failure
from matcher.results import Candidates
from matcher.searching import Outcome

logger = logging.getLogger(__name__)

ANSWERS_KEPT = 100_000
"""Entries of a response stream; older ones are trimmed."""

ANSWERS_EXPIRE_S = 600
DEAD_KEPT = 10_000


class Lapsed(Exception):
    """Answers were held back, because our announcement lapsed and others may do our work."""


class Answerer:
    """Packs and sends.  `may_answer` says whether our announcement stands: without it others do our work."""

    def __init__(self, redis: Redis, may_answer: Callable[[], bool]) -> None:
        self._redis = redis
        self._may_answer = may_answer
        self.answered = 0
        self.errors: dict[int, int] = defaultdict(int)

    async def send(self, outcomes: list[Outcome]) -> None:
        """Answer and acknowledge.  Answers of our own protocol for one channel travel as one message.

        Raises Lapsed when we may not answer; then the requests stay pending.
        """
        packed = [(request, self._packed(held, request, result)) for held, request, result in outcomes]
        if not packed:
            return
        if not self._may_answer():
            raise Lapsed(f"{len(packed)} answers held back: the announcement lapsed")
        channels: dict[bytes, list[bytes]] = defaultdict(list)
        entries: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        pipe = self._redis.pipeline(transaction=False)
        for request, data in packed:
            entries[request.stream, request.group].append(request.entry)
            if to := request.answer_stream:
                pipe.xadd(to, {"answer": data}, maxlen=ANSWERS_KEPT, approximate=True)
                pipe.expire(to, ANSWERS_EXPIRE_S)
            elif request.modern:
                channels[request.channel].append(data)
            else:
                pipe.publish(request.channel, data)
        for channel, parts in channels.items():
            pipe.publish(channel, b"".join(parts))
        for (stream, group), ids in entries.items():
            pipe.xack(stream, group, *ids)
        _inspect(await pipe.execute(raise_on_error=False))
        self.answered += len(packed)

    def _packed(self, held: Held | Whole | None, request: Request, result: Candidates | MatchError) -> bytes:
        if isinstance(result, MatchError):
            self.errors[result.error_code] += 1
            label, shard = request.fields.get(b"label", b"").decode(errors="replace"), shard_of(request.group)
            index_id = request.stream.rpartition(":")[2]
            of = {} if shard is None else {"index_id": index_id, "shard": shard}
            return failure(request.rid, label, result, of)
        if held is None:
            return self._packed(None, request, NoIndex("the index was dropped meanwhile"))
        return answer(request.rid, held.served, result)

    async def bury(self, bad: list[Bad], why: str = "") -> None:
        """Move messages that cannot be answered to the dead letters, with the reason."""
        pipe = self._redis.pipeline(transaction=False)
        for (stream, group), entry, flat, reason in bad:
            letter: dict[Any, Any] = dict(zip(flat[::2], flat[1::2], strict=False))
            letter |= {"entry": entry, "group": group, "reason": why or reason, "at": int(time.time())}
            pipe.xadd(keys.dead(stream), letter, maxlen=DEAD_KEPT, approximate=True)
            pipe.xack(stream, group, entry)
            logger.warning("%s %s %s: moved to the dead letters: %s.", stream, group, entry.decode(), why or reason)
        await pipe.execute()


def _inspect(replies: list[Any]) -> None:
    """An answer stream that is no stream is its client's own loss; any other refusal is raised."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            if not str(reply).startswith("WRONGTYPE"):
                raise reply
            logger.warning("A response_stream names a key of another type, so its answer is lost: %s.", reply)
