"""Connections to Redis, directly or through Sentinels, which survive a fail-over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError, ResponseError
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as TooSlow

from configs.settings import Settings
from manager.errors import Unavailable
from manager.retrying import Patient
from manager.sending import cancellable
from manager.sentinel_url import Sentinels

REPLY_S = 5.0
"""Longest wait for a reply."""

CONNECT_S = 2.0
"""Longest wait for a connection."""

TRIES = 6
"""Further tries of a command whose connection broke, over some three seconds; a fail-over takes about as long."""


FOR_NOW = ("READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "LOADING", "TRYAGAIN", "NOAUTH", "NOPERM", "BUSY")
"""How refusals begin that somebody or time will end."""


def url_of(settings: Settings) -> str:
    """The Redis of tasks and leases."""
    return settings.manager.redis_url or settings.redis.url


def connect(url: str, *, text: bool = True, tries: int = TRIES) -> Redis:
    """A pool of connections to redis://, rediss://, unix:// or redis+sentinel://…; nothing is sent yet.

    Replies are text unless `text` is false.  A command whose connection breaks is sent again up to `tries` times, so it
    must be one that may happen twice.  Raises ConfigError for a URL that is none.
    """
    options: dict[str, Any] = {
        "protocol": 2, "decode_responses": text, "socket_timeout": REPLY_S, "socket_connect_timeout": CONNECT_S,
        "retry": Patient(tries), "health_check_interval": 0,
    }  # fmt: skip
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    if "+sentinel://" not in url:
        redis: Redis = Redis.from_url(url, **options)
        return cancellable(redis)
    named = Sentinels.read(url)
    asking = {"socket_timeout": CONNECT_S, "socket_connect_timeout": CONNECT_S, "retry": Patient(0)}
    kind: Any = Sentinel  # which has no types
    found: Redis = kind(named.hosts, sentinel_kwargs={**asking, **named.asking}, **options).master_for(
        named.master, connection_pool_class=_Watched, **named.options
    )
    return cancellable(found)


class _Watched(SentinelConnectionPool):
    """Closes its connections to the Sentinels as well."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:  # at the end; otherwise it is what a new master entails
            await self.sentinel_manager.aclose()


@contextmanager
def reaching(redis: Redis) -> Iterator[None]:
    """Raises Unavailable, which says what to do, where Redis is not reached or refuses for now."""
    try:
        yield
    except MasterNotFoundError as error:
        raise Unavailable(
            f"{_shown(redis)}: expected the Sentinels to name a master, got: {error}; start them, or correct the name in "
            "manager.redis_url"
        ) from error
    except (AuthenticationError, AuthorizationError) as error:
        raise Unavailable(
            f"{_shown(redis)}: refuses the name or the password ({error}): correct manager.redis_url"
        ) from error
    except (Lost, TooSlow, OSError) as error:
        raise Unavailable(
            f"{_shown(redis)}: expected an answer, got: {error}; start it, or correct manager.redis_url"
        ) from error
    except ResponseError as error:
        if str(error).startswith(FOR_NOW):
            raise Unavailable(f"{_shown(redis)}: refuses for now: {error}") from error
        raise


def _shown(redis: Redis) -> str:
    """Where it is, without secrets."""
    pool: Any = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return f"Redis {pool.service_name!r} of the Sentinels"
    known = pool.connection_kwargs
    return f"Redis at {known['path'] if 'path' in known else '{host}:{port}'.format(**known)}"
