"""Who may read, who may act: the tokens, a browser's session, this machine where no token is set."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.requests import Request

from configs.settings import Http, Settings
from manager.errors import ReadOnly, Unauthorised
from manager.pages.access import Access, Role
from manager.pages.asking import cookie_of
from pipeline.pages.access import is_loopback, is_own_name, is_same_site


class NotFromThere(ReadOnly):
    """A request from another machine or another site, which may not act here."""

    desc = "not allowed from there"


def let_in(request: Request, access: Access, settings: Settings, needed: Role) -> None:
    """Raise Unauthorised for somebody unknown, ReadOnly or NotFromThere for somebody who may not do this."""
    is_bearer = "authorization" in request.headers
    if access.is_open:
        role = _on_this_machine(request, settings.manager.origin)
    elif is_bearer:
        role = _role_of(request.headers["authorization"], settings.http)
    else:
        role = access.role_of_session(request.cookies.get(cookie_of(request), ""))
    if not role:
        raise Unauthorised(
            "expected `Authorization: Bearer …` with one of the tokens that are set as http.token and http.read_token, got "
            + ("another" if is_bearer else "none")
        )
    if needed == "read":
        return
    if role != "write" and access.is_open:
        raise NotFromThere("without a token work is started from this machine only: set http.token")
    if role != "write":
        raise ReadOnly("expected the token that is set as http.token, got the one of http.read_token, which reads only")
    # browsers send cookies, and reach this machine, for whatever site they show; a token they do not send by themselves
    if (access.is_open or not is_bearer) and not is_same_site(request.headers):
        raise NotFromThere("expected a request from one of our own pages or from a program, got one from another site")


def _role_of(header: str, http: Http) -> Role:
    """What an Authorization header allows; takes as long whatever part of a token is right.

    Wrong ones block nobody: a token is too long to be guessed, and a program with an old one must not lock out the rest.
    """
    scheme, _, text = header.partition(" ")
    given = hashlib.sha256(text.strip().encode()).digest()
    found: Role = ""
    tokens: tuple[tuple[Role, str], ...] = (("write", http.token), ("read", http.read_token))
    for role, token in tokens:
        if hmac.compare_digest(given, hashlib.sha256(token.encode()).digest()) and token:
            found = role
    return found if scheme.lower() == "bearer" else ""


def _on_this_machine(request: Request, origin: str) -> Role:
    """Without a token: foreign names are refused (DNS rebinding), other machines read."""
    host = request.headers.get("host", "")
    if not is_own_name(host) and host.lower() != urlsplit(origin).netloc.lower():
        raise NotFromThere(
            "without a token this answers under an address, localhost, this machine's name or manager.origin only, got "
            f"{host[:100]!r}: set http.token to reach it under another"
        )
    return "write" if request.client and is_loopback(request.client.host) else "read"
