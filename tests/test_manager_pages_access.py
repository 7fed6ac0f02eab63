"""Who may see the manager's pages, who may act on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from manager_pages import World, shown
from pages import Visitor

TOKEN, READ = "correct-horse-battery", "only-for-reading-here"

WISHES = ("/submit", "/change", "/builds/any/cancel", "/builds/any/retry", "/builds/any/priority")


@pytest.fixture
def guarded(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Pages that ask for a token, or for one that reads."""
    with shown(redis_url, tmp_path_factory.mktemp("guarded"), token=TOKEN, read_token=READ) as found:
        yield found


def logged_in(world: World, token: str, wanted: str = "") -> tuple[Visitor, str]:
    """A browser with a session, and where the login led."""
    visitor = world.visitor
    fields = {"token": token, "next": wanted, "form_token": visitor.form_token("/login")}
    reply = visitor.form("/login", fields, Origin=visitor.base)
    assert reply.status == 303, reply.text
    assert all(part in reply.headers["Set-Cookie"] for part in ("HttpOnly", "SameSite=strict"))
    assert token not in reply.headers["Set-Cookie"]
    return Visitor(world.url, {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}), reply.headers["Location"]


def test_without_a_token_there_is_a_login(guarded: World) -> None:
    visitor = guarded.visitor
    ways = {
        "/": "./login",
        "/builds": "./login?next=builds",
        "/labels/a%2Fb?x=1": "./../login?next=labels%2Fa%252Fb%3Fx%3D1",
    }
    for path, way in ways.items():
        page = visitor.get(path)
        assert (page.status, page.headers["Location"]) == (303, way)
    for path in WISHES:
        assert visitor.form(path, {}).status == 401, path
    assert visitor.get("/login?next=%22%3E%3Cscript%3E").text.count("<script>") == 0


def test_a_login_leads_to_what_was_asked_for_and_nowhere_else(guarded: World) -> None:
    assert logged_in(guarded, TOKEN, "builds?status=error")[1] == "./builds?status=error"
    for elsewhere in ("//elsewhere.example", "https://elsewhere.example", "\\\\elsewhere.example"):
        way = logged_in(guarded, TOKEN, elsewhere)[1]
        assert way.startswith("./"), way
    visitor = guarded.visitor
    wrong = visitor.form("/login", {"token": "not the token", "form_token": visitor.form_token("/login")})
    assert (wrong.status, "This is none of the tokens that are set" in wrong.text) == (401, True)
    assert "Set-Cookie" not in wrong.headers
    assert visitor.form("/login", {"token": TOKEN}).status == 403, "another site's form"


def test_a_session_acts_from_our_own_pages_alone(guarded: World) -> None:
    visitor, _ = logged_in(guarded, TOKEN)
    task = guarded.submit("mine")
    way, good = f"/builds/{task.task_id}/cancel", {"form_token": visitor.form_token("/submit")}
    assert visitor.form(way, {}).status == 403
    assert visitor.form(way, {"form_token": "0" * 64}).status == 403
    assert visitor.form(way, {"form_token": guarded.visitor.form_token("/login")}).status == 403, "of another session"
    assert visitor.form(way, good, Origin="http://elsewhere.example").status == 403
    assert visitor.form(way, good, Sec_Fetch_Site="cross-site").status == 403
    assert guarded.do(guarded.parts.tasks.get(task.task_id)).status == "pending"
    assert visitor.form(way, good, Sec_Fetch_Site="same-origin").status == 303
    assert guarded.do(guarded.parts.tasks.get(task.task_id)).status == "cancelled"
    out = visitor.form("/logout", good)
    assert (out.status, "Max-Age=0" in out.headers["Set-Cookie"]) == (303, True)


def test_who_only_reads_sees_no_buttons_and_cannot_act(guarded: World) -> None:
    visitor, _ = logged_in(guarded, READ)
    task = guarded.submit("theirs")
    guarded.publish("label", "index-1")
    guarded.publish("label", "index-2")
    for path in ("/", "/labels", "/labels/label", "/builds", f"/builds/{task.task_id}", "/compare"):
        page = visitor.get(path)
        assert page.status == 200, path
        assert page.text.count('method="post"') == 1, f"{path}: more than the logout"
        assert "/submit" not in page.text, path
        assert "/change" not in page.text, path
    assert visitor.get("/submit").status == 403
    token = visitor.form_token("/")
    for path in (*WISHES, f"/builds/{task.task_id}/cancel"):
        reply = visitor.form(path, {"form_token": token, "do": "serve", "label": "label", "index": "index-1"})
        assert (reply.status, "This token reads only" in reply.text) == (403, True), path
    assert guarded.do(guarded.parts.tasks.get(task.task_id)).status == "pending"
    assert visitor.form("/logout", {"form_token": token}).status == 303


def test_a_program_brings_the_token_itself(guarded: World) -> None:
    task = guarded.submit("theirs")
    for token, status in ((TOKEN, 303), (READ, 403), ("wrong-token-altogether", 401)):
        program = Visitor(guarded.url, {"Authorization": f"Bearer {token}"})
        assert program.form(f"/builds/{task.task_id}/cancel", {}).status == status
        assert program.get("/").status == (401 if status == 401 else 200)


def test_without_tokens_foreign_names_are_refused(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with shown(redis_url, tmp_path_factory.mktemp("open")) as world:
        assert world.visitor.get("/login").headers["Location"] == "./", "nobody needs one"
        assert world.visitor.get("/", Host="elsewhere.example").status == 403, "DNS rebinding"
        far = world.visitor.get("/submit", X_Forwarded_For="203.0.113.9")
        assert (far.status, "read" in far.text) == (403, True), "a browser of another machine, behind a proxy"
        assert 'href="./submit"' not in world.visitor.get("/", X_Forwarded_For="203.0.113.9").text


def test_a_session_holds_for_every_manager(
    guarded: World, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    visitor, _ = logged_in(guarded, TOKEN)
    with shown(redis_url, tmp_path_factory.mktemp("second"), token=TOKEN, read_token=READ) as second:
        _, value = visitor.headers["Cookie"].split("=", 1)
        port = second.url.rpartition(":")[2]
        other = Visitor(second.url, {"Cookie": f"lim_manager_{port}={value}"})
        assert other.get("/builds").status == 200
