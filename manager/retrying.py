"""Tries a command of Redis again while its connection breaks, for a few seconds in all."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError

Result = TypeVar("Result")

LIMIT_S = 5.0
"""No further try begins after that."""

_trying: ContextVar[bool] = ContextVar("trying", default=False)


class Patient(Retry):
    """redis-py tries a command again, and within each try connects again and again: here only the outermost repeats.

    What the server refuses for good, a password for one, is not repeated.
    """

    def __init__(self, tries: int) -> None:
        super().__init__(ExponentialBackoff(cap=1.0, base=0.05), tries)

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[Result]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Result:
        """The result of `do`; raises what it raised last."""
        if _trying.get():
            return await Retry(NoBackoff(), 0).call_with_retry(do, fail, is_retryable, with_failure_count)
        until = time.monotonic() + LIMIT_S

        def may_help(error: Exception) -> bool:
            refused = isinstance(error, AuthenticationError | AuthorizationError)
            return not refused and time.monotonic() < until and (is_retryable is None or is_retryable(error))

        mark = _trying.set(True)
        try:
            return await super().call_with_retry(do, fail, may_help, with_failure_count)
        finally:
            _trying.reset(mark)
