"""Handlers of Tornado for all builds, a build, an order, a cancellation, a report."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from tornado import web

from pipeline.artifact import ArtifactError, open_store
from pipeline.pages.children import TooMany, UnderWay
from pipeline.pages.figures import figures
from pipeline.pages.history import BuildOf
from pipeline.pages.orders import FIELDS, RECIPES, Ordered, Refused, fields_of, look, ordered
from pipeline.pages.rendering import REPORT_POLICY
from pipeline.pages.request import Request
from pipeline.pages.through import hand_over

LOOK_S = 30.0
"""Longest look at a source before an order is taken."""


class BuildsRequest(Request):
    """One that shows builds."""

    def shown(self, build: BuildOf) -> dict[str, Any]:
        """The figures of a build, with its place in the line."""
        history, waiting = self.service.history, self.service.children.waiting
        found = figures(build, history.like(build), time.time())
        return found | {"waits_behind": waiting.index(build.run) if build.run in waiting else None}

    def builds(self) -> list[dict[str, Any]]:
        """All, the newest first."""
        return [self.shown(build) for build in self.service.history]

    def found(self, run: str) -> BuildOf:
        """A build, or 404."""
        build = self.service.history.get(run)
        if build is None:
            raise web.HTTPError(
                404, f"no build {run} is known: the list holds the last {self.service.settings.pages.kept}"
            )
        return build

    def list_page(self, fields: dict[str, str], errors: dict[str, str]) -> str:
        """The page of all builds with a form."""
        is_followed = self.get_query_argument("follow", None) is not None
        place = {"cwd": str(Path.cwd()), "workers": len(self.service.scheduler.workers)}
        return self.frame().render(
            "builds.html.j2", builds=self.builds(), fields=dict.fromkeys(FIELDS, "") | fields, errors=errors,
            recipes=RECIPES, is_followed=is_followed, task=self.get_query_argument("task", ""),
            bucket=self.service.settings.storage.bucket, **place,
        )  # fmt: skip


class Builds(BuildsRequest):
    """GET /lim: running and finished builds, and the form."""

    def get(self) -> None:
        """`?again=RUN` fills the form with what was submitted before."""
        again = self.service.history.get(self.get_query_argument("again", ""))
        self.finish(self.list_page(dict(again.order or {}) if again else {}, {}))


class BuildsJson(BuildsRequest):
    """GET /lim/builds.json."""

    def get(self) -> None:
        """All builds as JSON."""
        self.finish({"builds": self.builds()})


class Submit(BuildsRequest):
    """POST /lim/builds: a form (303 to the build's page) or JSON (201)."""

    root = "../"

    def get(self) -> None:
        """Where a person comes who loads the page with the errors again."""
        self.redirect("../lim", status=303)

    async def post(self) -> None:
        """The source is looked at in a thread: a store may take its time, and the scheduler has none."""
        fields: dict[str, str] = {}
        try:
            fields = self._fields()
            order = ordered(fields, self.service.settings)
            await asyncio.wait_for(asyncio.to_thread(look, order), LOOK_S)
            if self.service.settings.manager.origin:
                await self._hand_over(order)
                return
            build = self.service.children.submit(order)
        except Refused as error:
            self._refuse(422, fields, error.errors)
        except TimeoutError:
            self._refuse(
                422, fields, {"source": f"source: expected a listing within {LOOK_S:g} s, got none: is its store up?"}
            )
        except UnderWay as error:
            self._refuse(409, fields, {"under_way": f"{error}: build {error.run}"})
        except TooMany as error:
            self._refuse(429, fields, {"waiting": str(error)})
        else:
            self.set_header("Location", f"builds/{build.run}")
            self.set_status(201 if self.wants_json else 303)
            self.finish(self.shown(build) if self.wants_json else b"")

    async def _hand_over(self, order: Ordered) -> None:
        """What the manager builds appears here as well, once a worker is at it."""
        settings = self.service.settings
        task_id = await hand_over(order, settings.manager.origin, settings.http.token)
        self.set_header("Location", f"../lim?task={task_id}")
        self.set_status(201 if self.wants_json else 303)
        self.finish({"task_id": task_id} if self.wants_json else b"")

    def _fields(self) -> dict[str, str]:
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            return {name: self.get_body_argument(name, "") for name in FIELDS}
        try:
            return fields_of(json.loads(self.request.body))
        except ValueError as error:
            raise Refused({"body": f"body: expected JSON, got something else ({error})"}) from None

    def _refuse(self, status: int, fields: dict[str, str], errors: dict[str, str]) -> None:
        self.set_status(status)
        if self.wants_json:
            self.write_errors(errors)
        else:
            self.finish(self.list_page(fields, errors))


class Build(BuildsRequest):
    """GET /lim/builds/RUN: one build with its stages and its log; RUN.json as data."""

    root = "../../"

    def get(self, run: str, ending: str) -> None:
        """Only builds submitted here have their logs here."""
        build = self.found(run)
        if ending or self.wants_json:
            self.finish(self.shown(build))
            return
        bucket = self.service.settings.storage.bucket
        self.finish(
            self.frame().render(
                "build.html.j2", build=self.shown(build), log=self.service.kept.tail(run), bucket=bucket
            )
        )


class Cancel(BuildsRequest):
    """POST /lim/builds/RUN/cancel."""

    root = "../../../"

    def post(self, run: str) -> None:
        """What was started elsewhere is ended there."""
        build = self.found(run)
        if build.is_open and not self.service.children.cancel(build):
            raise web.HTTPError(409, "this build was not submitted here: end its command where it runs (Ctrl-C)")
        self.set_status(200 if self.wants_json else 303)
        self.set_header("Location", f"../{run}")
        self.finish(self.shown(build) if self.wants_json else b"")


class Report(BuildsRequest):
    """GET /lim/builds/RUN/report: the published report, from the bucket."""

    root = "../../../"

    async def get(self, run: str) -> None:
        """It is read in a thread; a report deleted meanwhile is a 404."""
        key, storage = self.found(run).report, self.service.settings.storage
        if not key:
            raise web.HTTPError(404, "this build has published no report")
        try:
            page = await asyncio.to_thread(lambda: open_store(storage.bucket, storage).read(key))
        except ArtifactError as error:
            raise web.HTTPError(404, f"{key}: cannot be read from {storage.bucket}: {error}") from error
        self.set_header("Content-Security-Policy", REPORT_POLICY)
        self.finish(page)
