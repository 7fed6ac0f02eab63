"""Who may see the pages; what is left when a scheduler is killed."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pages import Cluster, Visitor, gallery, lonely
from waiting import wait_until

from pipeline.pages.access import MOST_FAILURES, Access, is_loopback, is_own_name, is_same_site

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler whose pages ask for a token."""
    with lonely(tmp_path_factory.mktemp("guarded"), LIM_HTTP__TOKEN=TOKEN, LIM_LOG__LEVEL="DEBUG") as found:
        yield found


def test_without_the_token_nothing_is_shown(guarded: Cluster) -> None:
    visitor = guarded.visitor
    for path in ("/lim", "/lim/builds/any", "/lim/builds/any/report"):
        page = visitor.get(path)
        assert (page.status, page.headers["Location"].endswith("lim/login")) == (303, True), path
    data = visitor.get("/lim/builds.json")
    assert (data.status, data.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "http.token" in data.json["errors"]["error"]
    assert visitor.json("/lim/builds", {"source": "x", "label": "y"}).status == 401
    assert visitor.form("/lim/builds", {"source": "x", "label": "y"}).status == 401
    wrong = Visitor(guarded.dashboard, {"Authorization": "Bearer wrong", "Accept": "application/json"})
    assert wrong.get("/lim/builds.json").status == 401


def test_a_program_brings_the_token(guarded: Cluster) -> None:
    program = Visitor(guarded.dashboard, {"Authorization": f"Bearer {TOKEN}"})
    assert program.get("/lim/builds.json").json == {"builds": []}
    assert program.json("/lim/builds", {"source": "", "label": "y"}).status == 422


def test_a_person_logs_in_and_out(guarded: Cluster) -> None:
    visitor = guarded.visitor
    form_token = visitor.form_token("/lim/login")
    wrong = visitor.form("/lim/login", {"token": "not the token at all", "form_token": form_token})
    assert (wrong.status, "This is not the token" in wrong.text) == (401, True)
    assert "Set-Cookie" not in wrong.headers
    assert visitor.form("/lim/login", {"token": TOKEN}).status == 403, "another site's form"
    reply = visitor.form("/lim/login", {"token": TOKEN, "form_token": form_token})
    assert (reply.status, reply.headers["Location"]) == (303, "../lim")
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in str(reply.headers)
    person = Visitor(guarded.dashboard, {"Cookie": cookie.partition(";")[0]})
    page = person.get("/lim")
    assert (page.status, "No worker has joined" in page.text, TOKEN in page.text) == (200, True, False)
    # the form of a session is of no use without it
    assert person.form("/lim/builds", {"label": "x", "form_token": form_token}).status == 403
    assert person.form("/lim/builds", {"label": "x", "form_token": person.form_token()}).status == 422
    assert person.form("/lim/logout", {"form_token": person.form_token()}).status == 303
    assert person.get("/lim").status == 303, "the session has ended, whatever the browser keeps"


def test_the_token_is_in_no_log(guarded: Cluster) -> None:
    program = Visitor(guarded.dashboard, {"Authorization": f"Bearer {TOKEN}"})
    assert program.get("/lim/builds/nobody").status == 404
    assert TOKEN not in guarded.child.log.read_text()


@pytest.mark.timeout(180)
def test_a_killed_scheduler_takes_its_builds_along_and_shows_them_when_it_is_back(tmp_path: Path) -> None:
    faces, kept = gallery(tmp_path, 200), str(tmp_path / "kept")
    with lonely(tmp_path, LIM_PAGES__FOLDER=kept) as first:
        run = first.visitor.json("/lim/builds", {"source": str(faces), "label": "list"}).json["id"]
        waits = first.visitor.json("/lim/builds", {"source": str(faces), "label": "other"}).json["id"]
        scheduler = psutil.Process(first.child.pid)
        wait_until(lambda: first.visitor.build(run)["state"] == "starting" and scheduler.children(), what="its start")
        (child,) = scheduler.children()
        first.child.process.send_signal(signal.SIGKILL)  # type: ignore[union-attr]
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end")
    with lonely(tmp_path, LIM_PAGES__FOLDER=kept) as second:
        for one in (run, waits):
            build = second.visitor.build(one)
            assert (build["state"], "continues where it stopped" in build["error"]) == ("stopped", True)
        assert "Submit again" in second.visitor.get(f"/lim/builds/{run}").text
    assert (tmp_path / "kept" / "builds.json").stat().st_mode & 0o077 == 0, "for nobody else's eyes"


def test_who_guesses_has_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    access = Access(TOKEN)
    with caplog.at_level(logging.DEBUG):
        assert [access.log_in(f"guess {number}") for number in range(MOST_FAILURES)] == [None] * MOST_FAILURES
    assert access.is_blocked()
    assert access.log_in(TOKEN) is None, "while it is blocked, not even the right one"
    assert not access.is_bearer(f"Bearer {TOKEN}")
    assert not caplog.records
    assert not Access("").is_token(""), "no token is not an empty one"


def test_sessions_are_random_and_end() -> None:
    access = Access(TOKEN)
    one, other = access.log_in(TOKEN), access.log_in(TOKEN)
    assert one
    assert other
    assert one != other
    assert re.fullmatch(r"[\w-]{40,}", one)
    access.log_out(one)
    assert [access.is_session(session) for session in (one, other, "", "made-up")] == [False, True, False, False]
    assert access.is_form_token(access.form_token(other), other)
    assert not access.is_form_token(access.form_token(one), other)
    assert not Access(TOKEN).is_form_token(access.form_token(other), other), "of another scheduler"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:8787", True), ("[::1]:8787", True), ("10.2.3.4", True), ("localhost:8787", True),
        ("lim.localhost", True), ("evil.example:8787", False), ("127.0.0.1.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_names_that_no_foreign_site_can_have(host: str, own: bool) -> None:
    assert is_own_name(host) is own


def test_requests_of_other_sites_are_known_by_their_headers() -> None:
    assert is_same_site({})
    assert is_same_site({"Sec-Fetch-Site": "same-origin"})
    assert not is_same_site({"Sec-Fetch-Site": "same-site"})
    assert is_same_site({"Origin": "http://host:8787", "Host": "host:8787"})
    assert not is_same_site({"Origin": "http://host:1", "Host": "host:8787"})
    assert not is_same_site({"Origin": "null", "Host": "host:8787"})
    assert [is_loopback(one) for one in ("127.0.0.1", "::1", "10.0.0.1", "")] == [True, True, False, False]
