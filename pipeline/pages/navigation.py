"""The link to our page in the navigation of the Dask dashboard."""

from __future__ import annotations

import logging
from typing import Any

from distributed import Scheduler

logger = logging.getLogger(__name__)

PAGE, TITLE = "lim", "LIM builds"


def link(scheduler: Scheduler) -> bool:
    """Put our page among those that the dashboard's pages list; False where there is no dashboard to put it into.

    All pages of the dashboard render one list of names, each of which is both address and, through the filter
    `title`, text.  So the name goes into that list, which the pages share, and the filter writes it as we do.
    """
    if not _has_dashboard(scheduler):
        logger.warning("Nothing links to /%s: this scheduler has no dashboard.", PAGE)
        return False
    from distributed.dashboard.components.scheduler import env  # only here: there may be no Bokeh
    from distributed.dashboard.scheduler import template_variables

    pages = template_variables(scheduler)["pages"]
    if PAGE not in pages:
        pages.append(PAGE)
    before = env.filters["title"]
    if not getattr(before, "knows_lim", False):
        env.filters["title"] = _Titled(before)
    return True


def pages_of_dashboard(scheduler: Scheduler) -> list[str]:
    """The dashboard's own pages, to link back to; empty where there is none."""
    if not _has_dashboard(scheduler):
        return []
    from distributed.dashboard.scheduler import template_variables

    return [page for page in template_variables(scheduler)["pages"] if page != PAGE]


def prefix_of(scheduler: Scheduler) -> str:
    """The path below which the scheduler's pages lie: / or /prefix/."""
    found = [one.prefix for one in scheduler.http_application.applications if "/status" in _paths(one)]
    return f"/{found[0].strip('/')}/".replace("//", "/") if found else "/"


def _has_dashboard(scheduler: Scheduler) -> bool:
    return any("/status" in _paths(one) for one in scheduler.http_application.applications)


def _paths(application: Any) -> Any:
    return getattr(application, "app_paths", ())


class _Titled:
    """Jinja's filter `title`, but for our page, whose name is no word."""

    knows_lim = True

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, text: str) -> Any:
        return TITLE if text == PAGE else self._before(text)
