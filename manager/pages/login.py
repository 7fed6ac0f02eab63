"""The login of a browser: a token once, then a session."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from manager.pages.asking import Asked, cookie_of, keep_session


async def show(asked: Asked) -> Response:
    """GET /login: the form; who needs none goes on."""
    if asked.parts.access.is_open or asked.session:
        return _onward(asked, asked.query("next"))
    return asked.page("login.html.j2", error="", wanted=asked.query("next"))


async def log_in(asked: Asked) -> Response:
    """POST /login: a right token opens a session; the token itself is kept nowhere."""
    access, wanted = asked.parts.access, asked.fields.get("next", "")
    if access.is_open:
        return _onward(asked, wanted)
    session = access.log_in(asked.fields.get("token", "").strip())
    if not session:
        blocked = access.is_blocked()
        wrong = "too many wrong tokens: wait a minute" if blocked else "this is none of the tokens that are set"
        return asked.page("login.html.j2", status=429 if blocked else 401, error=wrong, wanted=wanted)
    response = _onward(asked, wanted)
    keep_session(asked.request, response, session)
    return response


async def log_out(asked: Asked) -> Response:
    """POST /logout: the browser forgets its session."""
    response = asked.go("login")
    response.delete_cookie(cookie_of(asked.request))
    return response


def _onward(asked: Asked, wanted: str) -> RedirectResponse:
    """To what was asked for; the root before it makes it a page of ours, whatever it says."""
    return RedirectResponse(asked.frame.root + wanted.replace("\\", "/").lstrip("/"), 303)
