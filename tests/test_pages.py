"""The page *LIM builds* over HTTP: a real scheduler, a worker, builds of a few thousand rows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pages import QUICK, Cluster, Visitor, cluster, gallery
from waiting import wait_until

from pipeline.artifact import open_store, read_head

STAGES = 13

pytestmark = pytest.mark.timeout(300)  # a cluster and builds, on a machine that may be busy


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for the tests of this module."""
    with cluster(tmp_path_factory.mktemp("pages")) as found:
        yield found


@pytest.fixture
def visitor(world: Cluster) -> Visitor:
    return world.visitor


@pytest.fixture(scope="module")
def faces(world: Cluster) -> Path:
    return gallery(world.folder)


def children_of(world: Cluster) -> list[psutil.Process]:
    """Processes of submitted builds."""
    found = []
    for one in psutil.Process(world.child.pid).children():
        with suppress(psutil.NoSuchProcess):  # it ended while we looked
            found += [one] if "pipeline.pages.child" in one.cmdline() else []
    return found


def test_dashboard_and_page_link_to_each_other(visitor: Visitor) -> None:
    for page in ("/status", "/workers", "/profile"):
        assert '<a href="lim">LIM builds</a>' in visitor.get(page).text, page
    found = visitor.get("/lim")
    assert found.status == 200
    assert '<a href="status">Status</a>' in found.text
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
    assert "://" not in found.text.replace("s3://", ""), "nothing comes from elsewhere"


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"source": "nowhere.npy"}, "source", "nowhere.npy: expected"),
        ({"source": ""}, "source", "source: expected a file, a folder or a glob, or its URL, got nothing"),
        ({"source": "pyproject.toml"}, "source", "pyproject.toml: expected"),
        ({"label": "a\tb"}, "label", r"label: expected 1 to 200 printable characters, got 'a\tb'"),
        ({"probes": "nobody.npy"}, "probes", "nobody.npy: expected"),
        ({"recipe": "soup"}, "recipe", "build.recipe: expected one of auto, exact, scan, cells, ivfpq, got 'soup' (form)"),
        ({"shards": "two"}, "shards", "build.shards: expected int from 0, got 'two' (form)"),
        ({"options": "build.sede=2"}, "options", "build.sede: expected the name of a setting, got an unknown one (form)"),
        ({"options": "storage.bucket=/"}, "options", "expected a setting of build.*, quality.*, source.*, images.*"),
        ({"options": "build.seed"}, "options", "expected section.field=value on each line, got 'build.seed'"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_begun_is_refused_with_what_is_wrong(
    visitor: Visitor, faces: Path, change: dict[str, str], field: str, message: str
) -> None:
    order = {"source": str(faces), "label": "list", **change}
    refused = visitor.json("/lim/builds", order)
    assert refused.status == 422
    assert message in refused.json["errors"][field]
    page = visitor.form("/lim/builds", order | {"form_token": visitor.form_token()})
    assert page.status == 422
    assert f'id="{field}-wrong"' in page.text
    assert 'value="list"' in page.text or field == "label", "what was typed is kept"


def test_json_that_is_no_order_is_refused(visitor: Visitor) -> None:
    assert "got an unknown field" in visitor.json("/lim/builds", {"sorce": "x"}).json["errors"]["sorce"]
    assert "got list" in visitor.json("/lim/builds", []).json["errors"]["body"]
    assert visitor.json("/lim/builds", {"source": 3}).json["errors"] == {"source": "source: expected text, got int"}
    broken = visitor.ask("POST", "/lim/builds", "{", Content_Type="application/json")
    assert (broken.status, "expected JSON" in broken.json["errors"]["body"]) == (422, True)


def test_other_sites_cannot_order(visitor: Visitor, faces: Path) -> None:
    order = {"source": str(faces), "label": "stolen"}
    good = order | {"form_token": visitor.form_token()}
    assert visitor.form("/lim/builds", order).status == 403
    assert visitor.form("/lim/builds", order | {"form_token": "0" * 64}).status == 403
    assert visitor.form("/lim/builds", good, Origin="http://elsewhere.example").status == 403
    assert visitor.form("/lim/builds", good, Sec_Fetch_Site="cross-site").status == 403
    assert visitor.json("/lim/builds", order, Sec_Fetch_Site="same-site").status == 403
    # DNS rebinding: the foreign name leads here
    assert visitor.get("/lim", Host="elsewhere.example").status == 403
    assert "stolen" not in visitor.get("/lim/builds.json").text


def test_a_submitted_build_is_followed_until_it_is_published(visitor: Visitor, world: Cluster, faces: Path) -> None:
    order = {"source": str(faces), "label": "staff", "options": QUICK, "form_token": visitor.form_token()}
    taken = visitor.form("/lim/builds", order, Origin=visitor.base, Sec_Fetch_Site="same-origin")
    assert taken.status == 303
    run = taken.headers["Location"].removeprefix("builds/")
    again = visitor.json("/lim/builds", {name: order[name] for name in ("source", "label", "options")})
    assert (again.status, run in again.text) == (409, True), "the same order twice"
    waiting = visitor.json("/lim/builds", {"source": str(faces), "label": "second", "options": QUICK})
    assert waiting.status == 201
    second = waiting.json["id"]
    assert visitor.build(second)["state"] == "queued", "one at a time"
    assert visitor.json(f"/lim/builds/{second}/cancel").json["state"] == "cancelled"

    build = visitor.until(run, "published", "failed")
    head, _ = read_head(open_store(str(world.folder / "bucket")), "staff")
    assert build["error"] is None
    assert (build["index_id"], build["rows"], build["source"]) == (head.index_id, 2_000, str(faces))
    assert len(build["stages"]) == STAGES == build["stages_all"]
    assert {stage["state"] for stage in build["stages"]} == {"done"}
    extract = next(stage for stage in build["stages"] if stage["name"] == "extract")
    assert (extract["items"], extract["items_done"], extract["rows"]) == (2, 2, 2_000)

    page = visitor.get(f"/lim/builds/{run}").text
    assert f"indexes/staff/{head.index_id}/report.html" in page
    assert "pipeline.progress" in page, "the log is shown"
    report = visitor.get(f"/lim/builds/{run}/report")
    assert (report.status, "Key figures" in report.text) == (200, True)
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert f"index {head.index_id[:8]}" in visitor.get("/lim").text


def test_builds_of_somebody_elses_command_appear(visitor: Visitor, world: Cluster, faces: Path) -> None:
    """The first run is killed and has stopped; the same command again continues it, and publishes."""
    settings = [part for line in QUICK.splitlines() for part in ("--set", line)]
    command = [sys.executable, "-m", "configs.cli", *settings, "--set", "build.partition_rows=250", "build", str(faces)]
    command += ["--label", "theirs", "--scheduler", world.scheduler]

    def theirs(state: str) -> list[dict[str, Any]]:
        builds = visitor.get("/lim/builds.json").json["builds"]
        return [one for one in builds if one["label"] == "theirs" and one["state"] == state]

    def beyond_the_first_stage() -> bool:
        return any(build["stages"][1]["state"] != "waiting" for build in theirs("running"))

    first = subprocess.Popen(command, env=os.environ | world.environ, stderr=subprocess.DEVNULL)
    wait_until(beyond_the_first_stage, timeout_s=90, what="the second stage")
    refused = visitor.json(f"/lim/builds/{theirs('running')[0]['id']}/cancel")
    assert (refused.status, "end its command where it runs" in refused.text) == (409, True)
    first.kill()
    first.wait()
    wait_until(lambda: theirs("stopped"), what="the end of its client")
    assert "run the same command again" in theirs("stopped")[0]["error"]

    done = subprocess.run(command, env=os.environ | world.environ, capture_output=True, timeout=150)
    assert done.returncode == 0, done.stderr.decode()
    (build,) = theirs("published")
    assert (build["submitted_here"], build["rows"], len(build["stages"])) == (False, 2_000, STAGES)
    assert build["index_id"] == theirs("stopped")[0]["index_id"]
    assert all(stage["items_done"] == stage["items"] for stage in build["stages"])
    assert build["stages"][0]["items_of_earlier_runs"] == 1, "what the killed run had done"
    assert "Its log is where its command runs" in visitor.get(f"/lim/builds/{build['id']}").text
    assert visitor.get(f"/lim/builds/{build['id']}/report").status == 200


def test_a_running_build_is_cancelled(visitor: Visitor, world: Cluster, faces: Path) -> None:
    order = {"source": str(faces), "label": "regretted", "options": "build.partition_rows=10"}
    run = visitor.json("/lim/builds", order).json["id"]
    wait_until(lambda: visitor.build(run)["stage"], timeout_s=60, what="the first stage")
    done = visitor.form(f"/lim/builds/{run}/cancel", {"form_token": visitor.form_token()})
    assert (done.status, done.headers["Location"]) == (303, f"../{run}")
    assert visitor.build(run)["state"] == "cancelled"
    wait_until(lambda: not children_of(world), what="the end of its process")
    assert visitor.build(run)["state"] == "cancelled", "the end of the process does not change it"
    assert f'value="{faces}"' in visitor.get(f"/lim?again={run}").text, "the form, filled in"


def test_a_build_that_fails_says_why(visitor: Visitor, world: Cluster) -> None:
    path = world.folder / "broken.npy"
    np.save(path, np.full((50, 512), np.nan, np.float32))
    run = visitor.json("/lim/builds", {"source": str(path), "label": "broken", "options": "build.seed=3"}).json["id"]
    build = visitor.until(run, "failed", "published")
    assert build["state"] == "failed"
    assert "expected descriptors, got none that can be indexed" in build["error"]
    assert "expected descriptors, got none that can be indexed" in visitor.get("/lim").text
    assert "Submit again" in visitor.get(f"/lim/builds/{run}").text


def test_what_is_not_there_is_not_found(visitor: Visitor) -> None:
    for path in ("/lim/builds/nobody", "/lim/builds/nobody.json", "/lim/builds/nobody/report"):
        assert visitor.get(path).status == 404, path
    assert "the list holds the last 100" in visitor.get("/lim/builds/nobody").text
    assert visitor.get("/lim/builds").headers["Location"] == "../lim"
