"""What every request to the pages goes through before it is answered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from configs.errors import LimError
from manager.pages.access import Access, Role
from manager.pages.forms import fields_of
from manager.pages.parts import PageParts
from manager.pages.rendering import Frame, policy
from pipeline.pages.access import SESSION_S, is_loopback, is_own_name, is_same_site

logger = logging.getLogger(__name__)

TITLES = {
    401: "Who are you?", 403: "Not allowed", 404: "Not here", 405: "Not this way", 409: "Not now",
    429: "Not so fast", 503: "Not at the moment",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in."""

    request: Request
    parts: PageParts
    frame: Frame
    session: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """Of a form that was sent."""

    def query(self, name: str) -> str:
        """A parameter of the address, without the blanks around it."""
        return self.request.query_params.get(name, "").strip()

    def page(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """The answer."""
        return HTMLResponse(self.frame.render(template, **values), status)

    def go(self, way: str) -> RedirectResponse:
        """On to another page, a way that Frame knows or one from its root."""
        return RedirectResponse(way if way.startswith(self.frame.root) else self.frame.root + way, 303)


Handler = Callable[[Asked], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets in who may come in, and says what went wrong."""

    parts: PageParts

    def endpoint(
        self, handler: Handler, section: str, *, is_public: bool = False
    ) -> Callable[..., Awaitable[Response]]:
        """A handler as Starlette calls it."""

        async def answered(request: Request) -> Response:
            frame = Frame(root_of(request), section, dashboard=self.parts.dashboard)
            try:
                role, session, is_bearer = self._who(request)
                frame = replace(
                    frame, may_write=role == "write", has_session=bool(session),
                    form_token=self.parts.access.form_token(session),
                )  # fmt: skip
                if not role and not is_public:
                    response = _ask_for_token(request, frame)
                else:
                    fields = await self._form(request, session, is_bearer=is_bearer)
                    if request.method == "POST" and not is_public:
                        _check_writes(role, self.parts.access)
                    response = await handler(Asked(request, self.parts, frame, session, fields))
            except HTTPException as error:
                response = refusal(frame, error.status_code, error.detail)
            except LimError as error:
                response = refusal(frame, getattr(error, "status", 503), str(error))
            except Exception as error:
                logger.exception("A page failed: %s.", request.url.path)
                response = refusal(frame, 500, f"{type(error).__name__}: the manager's log says more")
            return protected(response)

        return answered

    def _who(self, request: Request) -> tuple[Role, str, bool]:
        """What the request may do, its session if that is in force, whether a program brought the token itself."""
        access, session = self.parts.access, request.cookies.get(cookie_of(request), "")
        if access.is_open:
            return self._role_on_this_machine(request), "", False
        if role := access.role_of_session(session):
            return role, session, False
        if "authorization" in request.headers:
            return access.role_of_bearer(request.headers["authorization"]), "", True
        return "", "", False

    async def _form(self, request: Request, session: str, *, is_bearer: bool) -> dict[str, str]:
        if request.method != "POST":
            return {}
        fields = await fields_of(request)
        if not is_bearer:
            _check_origin(request, self.parts.access, session, fields)
        return fields

    def _role_on_this_machine(self, request: Request) -> Role:
        """Without a token: foreign names are refused (DNS rebinding), other machines read."""
        host, own = request.headers.get("host", ""), urlsplit(self.parts.manager.settings.manager.origin).netloc
        if not is_own_name(host) and host.lower() != own.lower():
            raise HTTPException(403, "without a token these pages answer under an address, localhost, this machine's name "
                                     "or manager.origin only: set http.token to reach them under another")  # fmt: skip
        return "write" if request.client and is_loopback(request.client.host) else "read"


def protected(response: Response) -> Response:
    """Nothing is kept, framed by others, or loaded from elsewhere."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Content-Security-Policy", policy())
    return response


def cookie_of(request: Request) -> str:
    """Name of the session's cookie: browsers keep the cookies of all ports of a host together."""
    return f"lim_manager_{request.url.port or 0}"


def keep_session(request: Request, response: Response, session: str) -> None:
    """Give the browser its session, which no script can read and no other site can use."""
    response.set_cookie(
        cookie_of(request), session, max_age=int(SESSION_S), httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def root_of(request: Request) -> str:
    """Way from the page to the root, counted in the address as the browser has it."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return "./" + "../" * (raw.count(b"/") - 1)


def refusal(frame: Frame, status: int, reason: str) -> HTMLResponse:
    """The page that says why not."""
    page = frame.render("error.html.j2", title=TITLES.get(status, "That did not work"), reason=reason)
    return HTMLResponse(page, status, {"WWW-Authenticate": "Bearer"} if status == 401 else None)


def _ask_for_token(request: Request, frame: Frame) -> Response:
    if request.method != "GET" or "authorization" in request.headers:
        raise HTTPException(401, "expected `Authorization: Bearer …` with one of the tokens that are set as http.token and "
                                 "http.read_token, or a login on the page /login")  # fmt: skip
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.scope["raw_path"].decode("ascii", "replace").lstrip("/") + query
    return RedirectResponse(f"{frame.root}login" + (f"?next={quote(wanted, safe='')}" if wanted else ""), 303)


def _check_origin(request: Request, access: Access, session: str, fields: dict[str, str]) -> None:
    if not is_same_site(request.headers):
        raise HTTPException(403, "expected a request from one of these pages, got one from another site")
    if not access.is_form_token(fields.get("form_token", ""), session):
        raise HTTPException(
            403, "this form is too old, or not from these pages: load the page again and submit once more"
        )


def _check_writes(role: Role, access: Access) -> None:
    if role == "write":
        return
    if access.is_open:
        raise HTTPException(403, "without a token work is started from this machine only: set http.token")
    raise HTTPException(403, "this token reads only: log in with the one that is set as http.token")
