"""The login of a browser: the token once, then a session."""

from __future__ import annotations

from pipeline.pages.request import Request


class Login(Request):
    """GET and POST /lim/login."""

    root = "../"
    is_public = True

    def get(self) -> None:
        """The form; who needs none goes on."""
        access = self.service.access
        if access.is_open or access.is_session(self.session):
            self.redirect("../lim", status=303)
            return
        self.finish(self.frame().render("login.html.j2", error=""))

    def post(self) -> None:
        """A right token opens a session; the token itself is kept nowhere."""
        access = self.service.access
        if access.is_open:
            self.redirect("../lim", status=303)
            return
        session = access.log_in(self.get_body_argument("token", ""))
        if session is None:
            blocked = access.is_blocked()
            self.set_status(429 if blocked else 401)
            wrong = (
                "too many wrong tokens: wait a minute" if blocked else "this is not the token that is set as http.token"
            )
            self.finish(self.frame().render("login.html.j2", error=wrong))
            return
        self.keep_session(session)
        self.redirect("../lim", status=303)


class Logout(Request):
    """POST /lim/logout."""

    root = "../"

    def post(self) -> None:
        """The session ends."""
        self.service.access.log_out(self.session)
        self.clear_cookie(self.cookie, path="/")
        self.redirect("login", status=303)
