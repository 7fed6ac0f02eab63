"""Orders of the page LIM builds that go to a manager: a real one, and none."""

from __future__ import annotations

from pathlib import Path

import managers
import pages
import pytest

from manager.embedded.processes import free_port

pytestmark = pytest.mark.timeout(180)


def test_an_order_becomes_a_task_of_the_manager(tmp_path: Path, redis_url: str) -> None:
    source = pages.gallery(tmp_path)
    with managers.managers(tmp_path, redis_url) as group:
        one = group.start()
        with pages.lonely(tmp_path / "cluster", LIM_MANAGER__ORIGIN=one.url) as world:
            fields = {
                "source": str(source),
                "label": "through",
                "options": pages.QUICK,
                "recipe": "exact",
                "shards": "1",
            }
            reply = world.visitor.form("/lim/builds", fields | {"form_token": world.visitor.form_token()})
            assert reply.status == 303, reply.text
            place, _, task_id = reply.headers["Location"].partition("?task=")
            assert place == "../lim"
            task = one.task(task_id)
            assert (task["label"], task["source"], task["submitted_by"]) == ("through", str(source), "LIM builds")
            assert task["options"]["build.recipe"] == "exact"
            assert task["options"]["quality.added_fnir"] == "0.01"
            assert f'href="{one.url}/builds/{task_id}"' in world.visitor.get(f"/lim?task={task_id}").text
            again = world.visitor.json(
                "/lim/builds",
                {"source": str(source), "label": "through", "options": pages.QUICK, "recipe": "exact", "shards": 1},
            )
            assert again.status == 422
            assert task_id in again.json["errors"]["manager"]
            assert one.wait_status(task_id, "success", "error", timeout_s=120)["status"] == "success"


def test_a_manager_that_is_not_there_is_named(tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{free_port()}"
    source = pages.gallery(tmp_path)
    with pages.lonely(tmp_path / "cluster", LIM_MANAGER__ORIGIN=origin) as world:
        reply = world.visitor.json("/lim/builds", {"source": str(source), "label": "nobody"})
        assert reply.status == 422
        assert f"nothing answers at {origin}" in reply.json["errors"]["manager"]
        assert world.visitor.get("/lim/builds.json").json == {"builds": []}
