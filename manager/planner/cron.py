"""Schedules of five fields: minute, hour, day of the month, month, day of the week."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from configs.errors import ConfigError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))
"""Names and bounds in their order; 0 is Sunday."""

_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")
_SETTING = "manager.planning_schedule"
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LONGEST_PAUSE = 8 * 366 + 3
"""Days that are looked at: between two 29ths of February around 2100, which has none, and some."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The original's grammar: `*`, `*/a`, `a`, `a-b`, `a-b/c`, with commas between; no names.

    As in every crontab, a day is right when the day of the month *or* that of the week is, where both are restricted.
    A time that the clock passes twice counts once, unless every hour is named; one that the clock skips comes as much
    later as the clock was put forward.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read the five fields; raises ConfigError, also for days that never come."""
        fields = text.split()
        if len(fields) != len(FIELDS):
            names = ", ".join(name for name, _, _ in FIELDS)
            raise ConfigError(f"{_SETTING}: expected five fields ({names}), got {len(fields)} in {text!r}")
        found = cls(*(_values(field, *bounds) for field, bounds in zip(fields, FIELDS, strict=True)))
        if len(found.weekdays) == 7 and min(found.days) > max(_DAYS[month - 1] for month in found.months):
            raise ConfigError(f"{_SETTING}: expected a day that some month has, got {text!r}, which never comes")
        return found

    def on(self, day: date) -> bool:
        """Whether some time of this day is meant."""
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if len(self.days) == 31 or len(self.weekdays) == 7:
            return in_month and in_week
        return in_month or in_week

    def next_after(self, moment: float, zone: tzinfo | None = None) -> float:
        """The first time after `moment`, both in seconds since 1970; None = the zone of this machine."""
        # from the day before, because what its clock skipped may come only now
        day = datetime.fromtimestamp(moment, zone).date() - timedelta(days=1)
        times: list[float] = []
        for _ in range(_LONGEST_PAUSE):
            was_found = bool(times)
            if self.on(day):
                times += [time for time in self._times(day, zone) if time > moment]
            if was_found:  # and a day more, because the clock may have skipped the whole day before
                break
            day += timedelta(days=1)
        return min(times)

    def _times(self, day: date, zone: tzinfo | None) -> Iterator[float]:
        for hour in self.hours:
            for minute in self.minutes:
                once = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                yield once.timestamp()
                if len(self.hours) == 24 and (again := once.replace(fold=1).timestamp()) > once.timestamp():
                    yield again


def zone_of(name: str) -> tzinfo | None:
    """The time zone of `manager.planning_zone`; None for the machine's own.  Raises ConfigError."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"manager.planning_zone: expected a name such as Europe/Berlin or UTC that this machine knows, got {name!r}"
        ) from error


def _values(field: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        matched = _PART.fullmatch(part)
        first, last, step = matched.groups() if matched else (None, None, None)
        start, stop = int(first or low), int(last or first or high)
        is_range = last or not first
        if matched is None or (step and not is_range) or not low <= start <= stop <= high or not int(step or 1):
            raise ConfigError(
                f"{_SETTING}: {name}: expected *, */a, a, a-b or a-b/c of numbers from {low} to {high}, "
                f"with commas between, got {field!r}"
            )
        found.update(range(start, stop + 1, int(step or 1)))
    return frozenset(found)
