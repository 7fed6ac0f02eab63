"""The manager's pages over HTTP: what they show, what they do, in a real Redis and a real bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import numpy as np
import pytest
from manager_pages import World, of_its_own
from pages import Reply, Visitor
from waiting import wait_until

from manager.pages.showing import PAGE
from pipeline.artifact import index_prefix, read_head

OWN = "form_token"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One manager for the tests of this module, each of which has labels of its own."""
    with of_its_own(tmp_path_factory.mktemp("pages")) as found:
        yield found


@pytest.fixture
def visitor(world: World) -> Visitor:
    return world.visitor


class Outline(HTMLParser):
    """What a screen reader finds its way by."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.wanted: list[str] = []
        self.labelled: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag in ("input", "select", "textarea") and found.get("type") != "hidden":
            self.wanted.append(found["id"] or "")
        if tag == "label":
            self.labelled.append(found["for"] or "")


def checked(page: Reply, status: int = 200) -> str:
    """The text of a page that everybody can use."""
    assert page.status == status, page.text
    outline = Outline(page.text)
    assert outline.tags.count("h1") == outline.tags.count("main") == outline.tags.count("header") == 1
    assert len(outline.ids) == len(set(outline.ids)), "an id twice"
    assert set(outline.wanted) <= set(outline.labelled), "a field without a label"
    assert '<html lang="en">' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "no-store" in page.headers["Cache-Control"]
    elsewhere = re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]*', page.text)
    assert elsewhere == [], "nothing comes from elsewhere"
    return page.text


def form(visitor: Visitor, path: str, /, **fields: str) -> Reply:
    return visitor.form(path, fields | {OWN: visitor.form_token("/submit")}, Origin=visitor.base)


@pytest.mark.parametrize("path", ["/", "/labels", "/builds", "/compare", "/submit"])
def test_every_page_can_be_used(visitor: Visitor, path: str) -> None:
    text = checked(visitor.get(path))
    assert 'aria-current="page"' in text
    assert 'href="#main"' in text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/labels/nobody", "nothing is published for this label"),
        ("/builds/nobody", "Task nobody: expected one that waits"),
        ("/report?label=x&amp;index=y", "cannot be read from"),
        ("/change?do=serve&label=nobody&index=x", "nothing is published"),
        ("/compare?label=nobody", "nothing is published"),
    ],
)
def test_what_is_not_there_is_said_on_a_page(visitor: Visitor, path: str, said: str) -> None:
    assert said in checked(visitor.get(path.replace("&amp;", "&")), 404)


def test_a_label_with_its_versions(visitor: Visitor, world: World) -> None:
    name = "Stäff/A & B"
    world.publish(name, "11111111-old", created="2024-03-01T00:00:00+00:00")
    world.publish(name, "22222222-new", created="2024-03-02T00:00:00+00:00")
    world.announce("matcher-1", {name: "22222222-new"})
    text = checked(visitor.get(f"/labels/{quote(name, safe='')}"))
    assert "Stäff/A &amp; B" in text
    assert text.index("22222222") < text.index("11111111"), "the newest first"
    assert re.search(r'tr class="serves.*?</tr>', text, re.S)[0].count("matcher-1") == 1  # type: ignore[index]
    assert "Roll back" in text
    assert 'id="delete-22222222-new"' not in text, "what serves is not deleted"
    wait_until(lambda: "matcher-1" in checked(visitor.get("/")), what="the matcher")
    assert "Stäff/A &amp; B" in checked(visitor.get("/labels?q=St%C3%A4"))


def test_rolling_back_and_forward_and_deleting(visitor: Visitor, world: World) -> None:
    for number in (1, 2, 3):
        world.publish("moved", f"index-{number}", created=f"2024-03-0{number}T00:00:00+00:00")
    asks = checked(visitor.get("/change?do=serve&label=moved&index=index-1"))
    assert "Roll moved back to this version?" in asks
    assert read_head(world.store, "moved")[0].index_id == "index-3", "nothing is done by asking"
    done = form(visitor, "/change", do="serve", label="moved", index="index-1")
    assert (done.status, done.headers["Location"]) == (303, "./labels/moved?done=rolled")
    assert read_head(world.store, "moved")[0].index_id == "index-1"
    assert "The head has moved" in visitor.get("/labels/moved?done=rolled").text
    assert "Roll moved forward" in visitor.get("/change?do=serve&label=moved&index=index-2").text
    assert "it serves" in checked(form(visitor, "/change", do="delete", label="moved", index="index-1"), 409)
    assert form(visitor, "/change", do="delete", label="moved", index="index-2").status == 303
    assert "index-2" not in visitor.get("/labels/moved").text
    assert f"{index_prefix('moved', 'index-2')}meta.json" not in world.store.keys("indexes/moved/")
    assert form(visitor, "/change", do="burn", label="moved", index="index-3").status == 400


def test_what_a_matcher_holds_is_not_deleted(visitor: Visitor, world: World) -> None:
    world.publish("held", "index-1", created="2024-03-01T00:00:00+00:00")
    world.publish("held", "index-2", created="2024-03-02T00:00:00+00:00")
    world.announce("matcher-2", {"held": "index-1"})
    assert "It cannot be deleted: matchers hold or load it" in checked(
        visitor.get("/change?do=delete&label=held&index=index-1"), 409
    )
    assert form(visitor, "/change", do="delete", label="held", index="index-1").status == 409
    assert read_head(world.store, "held")[0].previous == ("index-1",)


def test_labels_are_paged_and_searched(visitor: Visitor, world: World) -> None:
    for number in range(52):
        world.publish(f"paged-{number:03d}", "index")
    first = checked(visitor.get("/labels?q=paged-"))
    assert "1 to 50 of 52 that begin with “paged-”" in first
    assert "paged-049" in first
    assert "paged-050" not in first
    (way,) = re.findall(r'rel="next" href="\./([^"]+)"', first)
    second = checked(visitor.get("/" + way.replace("&amp;", "&")))
    assert "paged-051" in second
    assert 'rel="prev"' in second
    assert 'rel="next"' not in second
    assert "No label begins with “zzz”" in checked(visitor.get("/labels?q=zzz"))
    assert "There are fewer labels" in checked(visitor.get("/labels?q=&page=99"))
    assert checked(visitor.get(f"/labels?page={'9' * 5000}"))


def test_a_build_is_cancelled_tried_again_and_put_first(visitor: Visitor, world: World) -> None:
    task = world.submit("wavering")
    way = f"/builds/{task.task_id}"
    assert "Waiting for its turn" in checked(visitor.get(way))
    wrong = form(visitor, f"{way}/priority", priority="soon")
    assert "expected a whole number" in checked(wrong, 422)
    assert 'aria-describedby="priority-wrong"' in wrong.text
    assert form(visitor, f"{way}/priority", priority="9" * 12).status == 422
    assert form(visitor, f"{way}/priority", priority="7").status == 303
    assert world.do(world.parts.tasks.get(task.task_id)).priority == 7
    done = form(visitor, f"{way}/cancel")
    assert (done.status, done.headers["Location"]) == (303, f"./../../builds/{task.task_id}")
    text = checked(visitor.get(way))
    assert "cancelled" in text
    assert 'id="retry"' in text
    assert form(visitor, f"{way}/retry").status == 303
    assert world.do(world.parts.tasks.get(task.task_id)).status == "pending"
    form(visitor, f"{way}/cancel")
    other = world.submit("wavering", task_id="another")
    assert f"being built already, as {other.task_id}" in checked(form(visitor, f"{way}/retry"), 409)
    form(visitor, f"/builds/{other.task_id}/cancel")


def test_a_running_build_and_its_end(visitor: Visitor, world: World) -> None:
    world.submit("running", options={"build.recipe": "scan"})
    task = world.claim("running")
    world.do(
        world.parts.tasks.progress(
            task.task_id, 1, {"stage": "train", "items": 8, "finished": 2, "rows_per_s": 1e4, "eta_s": 75.0}
        )
    )
    text = checked(visitor.get(f"/builds/{task.task_id}"))
    for part in (
        "2 of 8 items",
        "10,000 rows/s",
        "1 min 15 s left in this stage",
        "build.recipe=scan",
        'aria-current="step"',
    ):
        assert part in text, part
    assert "running" in checked(visitor.get("/builds"))
    assert form(visitor, f"/builds/{task.task_id}/cancel").status == 303
    assert "It is being ended" in visitor.get(f"/builds/{task.task_id}").text
    world.do(world.parts.tasks.fail(task.task_id, 1, 26103, "the index misses its target by 0.002"))
    text = checked(visitor.get(f"/builds/{task.task_id}"))
    assert "misses its target by 0.002" in text
    assert "data-over" in text, "the page stops looking"


def test_a_failed_build_is_an_alarm_until_it_is_made_good(visitor: Visitor, world: World) -> None:
    world.submit("poor")
    task = world.claim("poor")
    world.do(world.parts.tasks.fail(task.task_id, 1, 26105, "no row can be indexed"))
    wait_until(
        lambda: "poor: its newest build failed: no row can be indexed" in checked(visitor.get("/")), what="the alarm"
    )
    assert "Look at the source" in visitor.get(f"/builds/{task.task_id}").text
    newer = world.submit("poor", task_id="poor-2")
    wait_until(lambda: "poor: its newest build failed" not in visitor.get("/").text, what="the end of the alarm")
    world.do(world.parts.tasks.cancel(newer.task_id))


def test_builds_are_filtered(visitor: Visitor, world: World) -> None:
    for number in range(PAGE + 2):
        task = world.submit("many", task_id=f"many-{number:03d}", content=f"many-{number}")
        world.do(world.parts.tasks.cancel(task.task_id))
    first = checked(visitor.get("/builds?label=many&status=cancelled"))
    assert first.count('href="./builds/many-') == PAGE
    (way,) = re.findall(r'rel="next" href="\./([^"]+)"', first)
    assert checked(visitor.get("/" + way.replace("&amp;", "&"))).count('href="./builds/many-') == 2
    assert "No build is like that" in checked(visitor.get("/builds?label=many&status=success"))
    assert "No build is like that" in checked(visitor.get("/builds?label=many&until=2001-01-01"))
    wrong = checked(visitor.get("/builds?status=lost&since=yesterday"))
    assert "State: expected one of pending" in wrong
    assert "Expected a day as 2024-05-31, got &#39;yesterday&#39;" in wrong
    assert "expected the `next`" not in checked(visitor.get("/builds?cursor=x"), 400)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"source": "nowhere.npy"}, "source", "nowhere.npy"),
        ({"label": "a\tb"}, "label", "expected 1 to 200 printable characters"),
        ({"probes": "nobody.npy"}, "probes", "nobody.npy"),
        ({"recipe": "soup"}, "recipe", "build.recipe: expected one of auto, exact"),
        ({"shards": "two"}, "shards", "build.shards: expected int from 0"),
        ({"priority": "soon"}, "priority", "expected a whole number"),
        ({"options": "build.sede=2"}, "options", "did you mean build.seed?"),
        ({"options": "storage.bucket=/"}, "options", "expected a setting of build.*"),
    ],
)
def test_what_is_wrong_with_a_submission_stands_beside_its_field(
    visitor: Visitor, world: World, change: dict[str, str], field: str, message: str
) -> None:
    source = world.folder / "faces.npy"
    np.save(source, np.eye(512, dtype=np.float32))
    reply = form(visitor, "/submit", **{"label": "list", "source": str(source), **change})
    text = checked(reply, reply.status)
    assert reply.status == 422
    (said,) = re.findall(rf'id="{field}-wrong">([^<]+)', text)
    assert message in said
    assert f'aria-describedby="{field}-wrong {field}-hint"' in text
    assert 'value="list"' in text or field == "label", "what was typed is kept"


def test_a_list_is_submitted(visitor: Visitor, world: World) -> None:
    source = world.folder / "list.npy"
    np.save(source, np.eye(512, dtype=np.float32))
    asks = {
        "label": "mine",
        "source": str(source),
        "recipe": "exact",
        "options": "quality.added_fnir=0.01\r\n",
        "submitted_by": "Ada",
    }
    done = form(visitor, "/submit", **asks)
    assert done.status == 303, done.text
    task = world.do(world.parts.tasks.get(done.headers["Location"].removeprefix("./builds/")))
    assert task.options == {"quality.added_fnir": "0.01", "build.recipe": "exact"}
    assert (task.label, task.rows, task.submitted_by) == ("mine", 512, "Ada")
    twice = form(visitor, "/submit", **asks)
    assert f'id="known" href="./builds/{task.task_id}"' in checked(twice, 409)
    again = checked(visitor.get(f"/submit?again={task.task_id}"))
    assert f'value="{source}"' in again
    assert "<option selected>exact</option>" in again
    world.do(world.parts.tasks.claim(1, "here"))
    world.do(world.parts.tasks.succeed(task.task_id, 1, 512, "digest"))
    assert "Tick “build it all the same”" in checked(form(visitor, "/submit", **asks), 409)
    assert form(visitor, "/submit", **asks, again="yes").status == 303


def test_only_forms_are_taken(visitor: Visitor) -> None:
    assert visitor.json("/submit", {"label": "x"}).status == 415
    assert form(visitor, "/submit", options="x" * 70_000).status == 413
