"""The URL of a Redis that Sentinels watch, in the original's grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from configs.errors import ConfigError
from configs.hiding import without_password

GRAMMAR = "redis+sentinel://[name:password@]host:port[,host:port…]/master_name[/db][?username=…&password=…]"
_URL = re.compile(
    r"(?P<scheme>rediss?)\+sentinel://((?P<user>.*)@)?(?P<hosts>[^/?@]*)(?P<path>/[^?]*)?(\?(?P<query>.*))?"
)
_HOST = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:,\s]+))(:(?P<port>\d{1,5}))?")
PORT = 26_379
"""Of a Sentinel that names none."""


@dataclass(frozen=True, slots=True)
class Sentinels:
    """What such a URL says."""

    hosts: list[tuple[str, int]]
    master: str
    options: dict[str, Any]
    """Of connections to the servers: db, username, password, ssl."""
    asking: dict[str, Any]
    """Of connections to the Sentinels."""

    @classmethod
    def read(cls, url: str) -> Sentinels:
        """From redis+sentinel://suser:spass@h1:26379,h2:26379/master/1?username=…&password=…; raises ConfigError.

        The name and the password before the hosts are the Sentinels'; those after the `?` are the servers'.  With
        rediss+sentinel:// both are reached by TLS.
        """
        shown = without_password(url)
        parts = _URL.fullmatch(url)
        if parts is None:
            raise ConfigError(f"manager.redis_url: expected {GRAMMAR}, got {shown!r}")
        hosts = [_host(one, shown) for one in parts["hosts"].split(",")]
        master, _, number = (parts["path"] or "/").removeprefix("/").partition("/")
        if not master:
            raise ConfigError(
                f"manager.redis_url: expected the master's name after the hosts, as in {GRAMMAR}, got {shown!r}"
            )
        if number and not number.isdecimal():
            raise ConfigError(
                f"manager.redis_url: expected the number of a database after the master's name, got {number!r}"
            )
        secure = {"ssl": True} if parts["scheme"] == "rediss" else {}
        options = {**secure, **_query(parts["query"] or ""), "db": int(number or 0)}
        return cls(hosts, unquote(master), options, {**secure, **_user(parts["user"])})


def _host(text: str, shown: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ConfigError(
            f"manager.redis_url: expected host:port of each Sentinel with commas between, got {text!r} in {shown!r}"
        )
    return found["six"] or found["name"], port


def _user(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    name, colon, password = text.partition(":")
    if not colon:  # one word is a password, as Sentinels without users want it
        name, password = "", name
    given = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in given.items() if value}


def _query(text: str) -> dict[str, str]:
    found = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name not in ("username", "password"):
            raise ConfigError(f"manager.redis_url: expected username or password after the '?', got {name!r}")
        if value:
            found[name] = value
    return found
