"""Adds the pages to a scheduler: by `install`, or as `dask scheduler --preload pipeline.pages.install`."""

from __future__ import annotations

import logging

from distributed import Scheduler

from configs.load import export_credentials, load
from configs.settings import Settings
from pipeline.pages.access import Access
from pipeline.pages.children import Children
from pipeline.pages.following import Following
from pipeline.pages.handlers import Build, Builds, BuildsJson, Cancel, Report, Submit
from pipeline.pages.history import BuildOf, History
from pipeline.pages.kept import Kept
from pipeline.pages.login import Login, Logout
from pipeline.pages.navigation import link, prefix_of
from pipeline.pages.request import Service

logger = logging.getLogger(__name__)

RUN = r"([\w-]{1,80})"

ROUTES = (
    (r"lim", Builds),
    (r"lim/builds\.json", BuildsJson),
    (r"lim/builds", Submit),
    (rf"lim/builds/{RUN}(\.json)?", Build),
    (rf"lim/builds/{RUN}/cancel", Cancel),
    (rf"lim/builds/{RUN}/report", Report),
    (r"lim/login", Login),
    (r"lim/logout", Logout),
)


def install(scheduler: Scheduler, settings: Settings) -> None:
    """Put the pages under /lim of the scheduler's web server and a link to them into its dashboard.

    May be called from any thread, once a scheduler.  Raises OSError where `pages.folder` cannot be used.
    """
    kept = Kept(settings.pages.folder)
    history = History(settings.pages.kept, kept.load())
    children = Children(settings.pages, kept, history, lambda: str(scheduler.address))

    def changed(_: BuildOf) -> None:
        kept.save(reversed(list(history)))

    following = Following(scheduler, history, changed, children.close)
    scheduler.add_plugin(following)
    following.replay()
    service = Service(scheduler, settings, history, children, kept, Access(settings.http.token))
    start = prefix_of(scheduler)
    routes = [(start + path, handler, {"service": service}) for path, handler in ROUTES]
    scheduler.http_application.add_handlers(".*$", routes)
    link(scheduler)
    logger.info("LIM builds at port %d, %slim.", scheduler.http_server.port, start)


def dask_setup(scheduler: Scheduler) -> None:
    """What `--preload` calls: an entry point, so it loads the settings."""
    settings = load().settings
    export_credentials(settings.storage)
    install(scheduler, settings)
