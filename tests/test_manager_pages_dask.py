"""The manager's pages beside the servers they tell of: the Dask dashboard, a Redis that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from manager_pages import shown
from pages import lonely
from waiting import wait_until

from configs.settings import Dask
from manager.embedded.valkey import Valkey


@pytest.mark.timeout(120)
def test_manager_and_dashboard_know_each_other(redis_url: str, tmp_path: Path) -> None:
    origin = "http://manager.example:5190"
    with lonely(tmp_path / "dask", LIM_MANAGER__ORIGIN=origin) as cluster:
        assert f'<a href="{origin}" rel="noreferrer">LIM manager</a>' in cluster.visitor.get("/lim").text
        dask = Dask(scheduler=cluster.scheduler, dashboard=f"{cluster.dashboard}/status")
        with shown(redis_url, tmp_path / "pages", dask=dask) as world:
            text = world.visitor.get("/").text
            assert f'href="{cluster.dashboard}/status"' in text
            assert "0 on 0 machines" in text
            assert "none has joined the scheduler" not in text, "nobody waits for them"
            world.submit("waiting")
            wait_until(lambda: "none has joined the scheduler" in world.visitor.get("/").text, what="the alarm")
            cluster.child.stop()
            wait_until(lambda: "does not answer" in world.visitor.get("/").text, what="the loss of the scheduler")
            assert world.visitor.get("/builds").status == 200


def test_a_page_without_redis_says_so(redis_server: Valkey, tmp_path: Path) -> None:
    with shown(redis_server.url, tmp_path) as alone:
        redis_server.kill()
        text = alone.visitor.get("/").text
        assert "does not answer" in text
        assert alone.visitor.get("/builds").status == 503
