"""Who may see the pages, who may start builds: a token, sessions of browsers, requests from elsewhere."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

SESSION_S = 12 * 3_600.0
"""Life of a login."""
MOST_SESSIONS = 1_000
MOST_FAILURES, FAILURES_S = 10, 60.0
"""Wrong tokens within so many seconds after which nobody may try for a while."""


class Access:
    """Sessions live in this process: after a restart of the scheduler everybody logs in again."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._key = secrets.token_bytes(32)
        self._sessions: dict[str, float] = {}
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)

    @property
    def is_open(self) -> bool:
        """Whether no token is set."""
        return not self._token

    def is_token(self, text: str) -> bool:
        """Whether a text is the token; takes as long whatever part of it is right."""
        given, wanted = (hashlib.sha256(one.encode()).digest() for one in (text, self._token))
        return bool(self._token) and hmac.compare_digest(given, wanted)

    def is_blocked(self, now: float | None = None) -> bool:
        """Whether too many wrong tokens came of late."""
        now = time.monotonic() if now is None else now
        return len(self._failures) == MOST_FAILURES and now - self._failures[0] < FAILURES_S

    def log_in(self, text: str) -> str | None:
        """A session for the right token, None for a wrong one."""
        now = time.monotonic()
        if self.is_blocked(now) or not self.is_token(text):
            self._failures.append(now)
            return None
        self._sessions = {one: until for one, until in self._sessions.items() if until > now}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_urlsafe(32)
        self._sessions[session] = now + SESSION_S
        return session

    def log_out(self, session: str) -> None:
        """Forget a session."""
        self._sessions.pop(session, None)

    def is_session(self, session: str) -> bool:
        """Whether a session is in force."""
        return self._sessions.get(session, 0.0) > time.monotonic()

    def is_bearer(self, header: str) -> bool:
        """Whether an Authorization header carries the token; wrong ones count as failed logins."""
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or self.is_blocked():
            return False
        if not self.is_token(text.strip()):
            self._failures.append(time.monotonic())
            return False
        return True

    def form_token(self, session: str) -> str:
        """What a form of this session carries; other sites cannot know it."""
        return hmac.new(self._key, f"form {session}".encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, text: str, session: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(text.encode(), self.form_token(session).encode())


def is_same_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent a request from one of our own pages, or what sent it is no browser."""
    fetched = headers.get("Sec-Fetch-Site")
    if fetched is not None:
        return fetched in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("Host", "").lower()


def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine as no foreign site can: by address, as localhost, or by its own name.

    A site whose name was made to resolve to this machine (DNS rebinding) sends its own name.
    """
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    own = socket.gethostname().lower()
    return name in ("localhost", own, own.partition(".")[0]) or name.endswith(".localhost") or _is_address(name)


def is_loopback(address: str) -> bool:
    """Whether a peer is on this machine."""
    return _is_address(address) and ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
