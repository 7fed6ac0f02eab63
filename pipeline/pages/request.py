"""What every request to the pages goes through before it is answered."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from distributed import Scheduler
from tornado import web

from configs.settings import Settings
from pipeline.pages.access import SESSION_S, Access, is_loopback, is_own_name, is_same_site
from pipeline.pages.children import Children
from pipeline.pages.history import History
from pipeline.pages.kept import Kept
from pipeline.pages.navigation import pages_of_dashboard
from pipeline.pages.rendering import Frame, policy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers work with."""

    scheduler: Scheduler
    settings: Settings
    history: History
    children: Children
    kept: Kept
    access: Access


class Request(web.RequestHandler):
    """Checks who asks; answers errors in the form that was asked for."""

    root = ""
    is_public = False
    """Whether it is answered without a login."""

    def initialize(self, service: Service) -> None:
        """Tornado's way of handing something over."""
        self.service = service
        self.is_bearer = False

    @property
    def session(self) -> str:
        """The session of this browser, which may have ended."""
        return self.get_cookie(self.cookie) or ""

    @property
    def cookie(self) -> str:
        """Browsers keep the cookies of all ports of a host together."""
        return f"lim_session_{self.service.scheduler.http_server.port}"

    @property
    def wants_json(self) -> bool:
        """Whether a program asks."""
        kinds = self.request.headers.get("Accept", "") + self.request.headers.get("Content-Type", "")
        return self.request.path.endswith(".json") or ("application/json" in kinds and "text/html" not in kinds)

    def set_default_headers(self) -> None:
        """Nothing is kept, framed by others, or loaded from elsewhere."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")

    def prepare(self) -> None:
        """Let in who may come in."""
        self._protect()
        access = self.service.access
        if access.is_open:
            self._check_this_machine()
        elif not self.is_public:
            self.is_bearer = access.is_bearer(self.request.headers.get("Authorization", ""))
            if not self.is_bearer and not access.is_session(self.session):
                self._ask_for_token()
                return
        if self.request.method == "POST":
            self._check_origin()

    def frame(self) -> Frame:
        """What is around this page."""
        access = self.service.access
        token = access.form_token("" if access.is_open else self.session)
        dashboard, manager = pages_of_dashboard(self.service.scheduler), self.service.settings.manager.origin
        return Frame(self.root, access.is_open, token, dashboard, manager)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The reason, for a person or a program."""
        self._protect()  # Tornado has cleared the headers
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = error.log_message if isinstance(error, web.HTTPError) else None
        reason = said.replace("%%", "%") if said else f"{status_code} {self._reason}: the scheduler's log says more"
        self.write_errors({"error": reason})

    def write_errors(self, errors: dict[str, str]) -> None:
        """The answer to what cannot be done."""
        if self.wants_json:
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps({"errors": errors}))
        else:
            self.finish(self.frame().render("error.html.j2", status=self.get_status(), reasons=list(errors.values())))

    def _protect(self) -> None:
        self.set_header("Content-Security-Policy", policy())

    def _check_this_machine(self) -> None:
        if not is_own_name(self.request.host):
            raise web.HTTPError(403, "without a token these pages answer under an address, localhost or this machine's "
                                     "name only: set http.token to reach them under another")  # fmt: skip
        if self.request.method == "POST" and not is_loopback(self.request.remote_ip or ""):
            raise web.HTTPError(403, "without a token builds are started from this machine only: set http.token")

    def _ask_for_token(self) -> None:
        if self.wants_json or self.request.method != "GET":
            raise web.HTTPError(401, "expected `Authorization: Bearer TOKEN` with the token that is set as http.token, "
                                     "or a login on the page /lim/login")  # fmt: skip
        self.redirect(f"{self.root}lim/login", status=303)

    def _check_origin(self) -> None:
        """A form must come from one of our pages; JSON cannot be sent by another site's page without being asked."""
        is_json = self.request.headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
        if self.is_bearer:
            return
        session = "" if self.service.access.is_open else self.session
        if not is_same_site(self.request.headers):
            raise web.HTTPError(403, "expected a request from one of these pages, got one from another site")
        if not is_json and not self.service.access.is_form_token(self.get_body_argument("form_token", ""), session):
            raise web.HTTPError(
                403, "this form is too old, or not from these pages: load the page again and submit once more"
            )

    def keep_session(self, session: str) -> None:
        """Give the browser its session, which no script can read and no other site can use."""
        self.set_cookie(
            self.cookie, session, path="/", httponly=True, samesite="Strict",
            secure=self.request.protocol == "https", max_age=int(SESSION_S),
        )  # fmt: skip
