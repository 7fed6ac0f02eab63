"""Who may read the manager's pages, who may start work: two tokens, and sessions that every manager knows."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from typing import Literal

from configs.errors import LimError
from pipeline.pages.access import FAILURES_S, MOST_FAILURES, SESSION_S

Role = Literal["", "read", "write"]
"""`write` reads as well; empty = nobody whom we know."""


class Access:
    """Sessions are signed, not kept: whichever manager a browser reaches knows them, and so does one started again.

    They end after SESSION_S, or with either token.
    """

    def __init__(self, token: str, read_token: str = "") -> None:
        """Raises LimError for a read_token that opens nothing, or everything."""
        if read_token and not token:
            raise LimError("http.read_token: expected http.token beside it, got none: everybody may read without one")
        if read_token and read_token == token:
            raise LimError("http.read_token: expected another token than http.token, got the same: it would start work")
        self._tokens: dict[Role, str] = {"write": token, "read": read_token}
        # slow, so that who has a session of the one token cannot try others against it
        secret = f"{token}\n{read_token}".encode() if token else secrets.token_bytes(32)
        self._key = hashlib.scrypt(secret, salt=b"lim manager", n=2**14, r=8, p=1, dklen=32)
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)

    @property
    def is_open(self) -> bool:
        """Whether no token is set."""
        return not self._tokens["write"]

    def is_blocked(self, now: float | None = None) -> bool:
        """Whether too many wrong tokens came of late."""
        now = time.monotonic() if now is None else now
        return len(self._failures) == MOST_FAILURES and now - self._failures[0] < FAILURES_S

    def role_of_token(self, text: str) -> Role:
        """What a token allows; takes as long whatever part of it is right, and remembers wrong ones."""
        if self.is_blocked():
            return ""
        given = hashlib.sha256(text.encode()).digest()
        found: Role = ""
        for role, token in self._tokens.items():
            if hmac.compare_digest(given, hashlib.sha256(token.encode()).digest()) and token:
                found = role
        if not found:
            self._failures.append(time.monotonic())
        return found

    def role_of_bearer(self, header: str) -> Role:
        """What an Authorization header allows."""
        scheme, _, text = header.partition(" ")
        return self.role_of_token(text.strip()) if scheme.lower() == "bearer" else ""

    def log_in(self, text: str) -> str:
        """A session for a right token, empty for a wrong one."""
        role = self.role_of_token(text)
        return self._signed(f"{role}.{time.time() + SESSION_S:.0f}.{secrets.token_urlsafe(12)}") if role else ""

    def role_of_session(self, session: str) -> Role:
        """What a session allows; empty for one that has ended, or was not signed with our tokens."""
        body, _, _ = session.rpartition(".")
        if not body.isascii() or not hmac.compare_digest(session.encode(), self._signed(body).encode()):
            return ""
        role, until, _ = body.split(".", 2)
        if float(until) < time.time():
            return ""
        return "write" if role == "write" else "read"

    def form_token(self, session: str) -> str:
        """What a form of this session carries; other sites cannot know it."""
        return self._mac(f"form {session}")

    def is_form_token(self, text: str, session: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(text.encode(), self.form_token(session).encode())

    def _signed(self, body: str) -> str:
        return f"{body}.{self._mac(f'session {body}')}"

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
