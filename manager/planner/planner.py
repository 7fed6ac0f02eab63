"""The planner: plans when it begins to lead, then by a period or a schedule."""

from __future__ import annotations

import asyncio
import logging
import time

from configs.errors import LimError
from configs.settings import Settings
from manager.planner.cron import Schedule, zone_of
from manager.planner.lists import Lists
from manager.planner.planning import Around, Planning
from manager.planner.rounds import Round, tell

logger = logging.getLogger(__name__)

LOOK_S = 30.0
"""Longest sleep between looks at the clock, which somebody may set."""


class Planner:
    """What an index holds is compared with its list by content: no plan depends on when, by whom or how often others
    were made, so that a manager that begins to lead plans at once and harms nothing.
    """

    def __init__(self, settings: Settings, around: Around) -> None:
        """Raises ConfigError for settings that cannot be."""
        section = settings.manager
        self._section, self._around = section, around
        self._lists = Lists(settings, around.redis) if section.lists.strip(" ,") else None
        self._schedule = Schedule.parse(section.planning_schedule) if section.planning_schedule.strip() else None
        self._zone = zone_of(section.planning_zone)
        self._said: dict[str, str] = {}
        """Problems that the log has, so that it is told of each once."""

    async def run(self, fence: int) -> None:
        """For as long as we lead; returns where no list is planned, or no further plan is due."""
        if self._lists is None:
            logger.info("Nothing is planned by itself: manager.lists names no list.")
            return
        while True:
            done = await self.plan(self._lists)
            done.by, done.fence = self._around.origin, fence
            await self._told(done)
            if not done.next:
                return
            while (left := done.next - time.time()) > 0:  # noqa: ASYNC110 - nobody tells when the clock is set
                await asyncio.sleep(min(left, LOOK_S))

    async def plan(self, lists: Lists) -> Round:
        """One round; what ends it early is its `problem`."""
        began = time.time()
        more_than = -1 if lists.named else self._section.min_list_rows
        planning = Planning(self._around, lists, more_than)
        done = planning.done
        try:
            await planning.run()
        except LimError as error:
            done.problem = str(error)
        except Exception as error:  # whatever is wrong with this one, the next may be right
            logger.exception("A plan failed.")
            done.problem = f"{type(error).__name__}: {error}"
        done.began, done.ended = began, time.time()
        done.next = began + self._section.retry_s if done.problem else self.following(began)
        return done

    def following(self, began: float) -> float:
        """When the plan after that of `began` is due, seconds since 1970; 0.0 = never.  A schedule goes before a period."""
        if self._schedule is not None:
            return self._schedule.next_after(began, self._zone)
        return began + self._section.planning_period_s if self._section.planning_period_s else 0.0

    async def _told(self, done: Round) -> None:
        problems = {**done.errors, **({"": done.problem} if done.problem else {})}
        for label, problem in sorted(problems.items()):
            if self._said.get(label) != problem:
                logger.warning("Planning%s: %s", f" {label}" if label else "", problem)
        self._said = problems
        if not done.problem:
            logger.info(
                "Planned %d lists in %.1f s, %d of them opened: %d due, %d submitted, %d waiting, %d resting, %d errors.",
                done.lists, done.ended - done.began, done.opened, done.due, *done.counts.values(),
            )  # fmt: skip
        try:
            await tell(self._around.redis, done)
        except LimError as error:
            logger.warning("The plan is not shown: %s", error)
