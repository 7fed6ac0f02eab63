"""Which lists are looked at, with what is remembered of them from the last look, whoever took it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from redis.asyncio import Redis

from configs.errors import ConfigError
from configs.settings import Settings
from manager.connecting import reaching
from pipeline.errors import BuildError
from pipeline.order import check_label
from pipeline.sources.counting import Counted, Survey, survey
from pipeline.sources.errors import SourceError, SourceMissing
from pipeline.sources.labels import Labels

DYNAMIC = "dynamic"

KNOWN = "lim:planner:lists"
"""Hash in Redis: label → watermark, fingerprint and rows as JSON.  Without it every list is opened once more."""

KEPT_S = 90 * 86_400
"""How long it is remembered when nobody looks."""

FEW = 50
"""Named lists that are looked for one by one, which takes some requests each; more by one listing of everything."""


class Lists:
    """The lists that `manager.lists` means."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        """Raises ConfigError for settings that mean none."""
        names = tuple(dict.fromkeys(name for one in settings.manager.lists.split(",") if (name := one.strip())))
        if DYNAMIC in names and len(names) > 1:
            raise ConfigError(f"manager.lists: expected labels or `dynamic` alone, got {settings.manager.lists!r}")
        self.named = () if names == (DYNAMIC,) else names
        """Empty = all that there are."""
        self._settings, self._redis = settings, redis
        self._labels = Labels(settings)

    def source(self, label: str) -> str:
        """The URL of a list."""
        return self._labels.template.fill(label)

    async def look(self) -> Survey:
        """What there is now.  Raises SourceError where nothing can be listed, ConfigError, Unavailable."""
        known = await self._remembered()
        found = await asyncio.to_thread(self._look, known)
        for label in list(found.lists):
            try:
                check_label(label)
            except BuildError as error:
                del found.lists[label]
                found.errors[label] = SourceMissing(str(error))
        await self._remember(known, found.lists)
        return found

    def _look(self, known: Mapping[str, Counted]) -> Survey:
        if not self.named:
            return survey(self._labels, self._settings, known)
        if len(self.named) > FEW:
            everything = survey(self._labels, self._settings, known, only=frozenset(self.named))
            return self._of_named(everything)
        lists: dict[str, Counted] = {}
        errors: dict[str, SourceError] = {}
        opened = 0
        for label in self.named:
            try:
                found = survey(self._labels, self._settings, known, label=label)
            except SourceError as error:
                errors[label] = error
                continue
            lists |= found.lists
            errors |= found.errors
            opened += found.opened
        return self._of_named(Survey(lists, errors, opened))

    def _of_named(self, found: Survey) -> Survey:
        """Nothing is where a list was expected: an error of that list."""
        for label in self.named:
            if label not in found.lists and label not in found.errors:
                found.errors[label] = SourceMissing(f"{self.source(label)}: expected a list, found nothing there")
        return found

    async def _remembered(self) -> dict[str, Counted]:
        client: Any = self._redis
        with reaching(self._redis):
            found = await client.hgetall(KNOWN)
        return {label: Counted(*json.loads(text)) for label, text in found.items()}

    async def _remember(self, before: Mapping[str, Counted], now: Mapping[str, Counted]) -> None:
        """Write what is new; what is gone is forgotten where all lists were looked at."""
        fresh = {
            label: json.dumps(astuple(one)) for label, one in now.items() if one.watermark and before.get(label) != one
        }
        gone = [] if self.named else [label for label in before if label not in now]
        pipe: Any = self._redis.pipeline(transaction=False)
        if fresh:
            pipe.hset(KNOWN, mapping=fresh)
        if gone:
            pipe.hdel(KNOWN, *gone)
        pipe.expire(KNOWN, KEPT_S)
        with reaching(self._redis):
            await pipe.execute()
