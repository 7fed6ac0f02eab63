"""Schedules against a slow model that looks at the clock minute by minute, over changes of the clock and leap years."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from manager.planner.cron import FIELDS, Schedule, zone_of

MINUTE = 60
TWO_DAYS = 2 * 24 * 60

CHANGES = {
    "Europe/Berlin": [(2026, 3, 29), (2026, 10, 25)],
    "America/New_York": [(2026, 3, 8), (2026, 11, 1)],
    "Australia/Lord_Howe": [(2026, 4, 5), (2026, 10, 4)],  # by half an hour
    "America/Sao_Paulo": [(2018, 2, 18), (2018, 11, 4)],  # at midnight
    "Pacific/Apia": [(2011, 12, 30)],  # a whole day was skipped
    "Asia/Kathmandu": [(2026, 5, 5)],
    "UTC": [(2026, 2, 28)],
}
"""Days around which the clocks of these zones are changed, or not."""


def parts_of(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(lambda both: f"{min(both)}-{max(both)}")
    step = st.integers(1, 20)
    stepped = st.tuples(st.one_of(st.just("*"), pair), step).map(lambda both: f"{both[0]}/{both[1]}")
    one = st.one_of(st.just("*"), number.map(str), pair, stepped)
    return st.one_of(st.just("*"), st.lists(one, min_size=1, max_size=3).map(",".join))


texts = st.tuples(*(parts_of(low, high) for _, low, high in FIELDS)).map(" ".join)
hourly = st.tuples(*(parts_of(low, high) for _, low, high in FIELDS[:2])).map(lambda two: " ".join([*two, "* * *"]))


def names(part: str, value: int, low: int) -> bool:
    """Whether a part of a field names the value, taken by its letter."""
    span, _, step = part.partition("/")
    first, _, last = span.partition("-")
    if span == "*":
        return (value - low) % int(step or 1) == 0
    return int(first) <= value <= int(last or first) and (value - int(first)) % int(step or 1) == 0


def allowed(field: str, value: int, low: int) -> bool:
    return any(names(part, value, low) for part in field.split(","))


def says(text: str, wall: datetime) -> bool:
    """Whether the time on the wall is one of the schedule."""
    minute, hour, day, month, weekday = text.split()
    by_month = allowed(day, wall.day, 1)
    by_week = allowed(weekday, (wall.weekday() + 1) % 7, 0)
    free = all(allowed(day, one, 1) for one in range(1, 32)) or all(allowed(weekday, one, 0) for one in range(7))
    is_day = (by_month and by_week) if free else (by_month or by_week)
    return is_day and allowed(minute, wall.minute, 0) and allowed(hour, wall.hour, 0) and allowed(month, wall.month, 1)


def offset(moment: int, zone: tzinfo) -> int:
    found = datetime.fromtimestamp(moment, zone).utcoffset()
    assert found is not None
    return int(found.total_seconds())


def fires(text: str, moment: int, zone: tzinfo) -> bool:
    """Whether the schedule comes now, by the wall clock of now or by the one that was put forward a moment ago."""
    wall = datetime.fromtimestamp(moment, zone)
    every_hour = all(allowed(text.split()[1], hour, 0) for hour in range(24))
    if says(text, wall) and (wall.fold == 0 or every_hour):
        return True
    for ago in (30 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE):
        before = offset(moment - ago, zone)
        if offset(moment, zone) - before == ago:  # that long ago, or less, the clock was put forward by as much
            return says(text, datetime.fromtimestamp(moment + before, UTC))
    return False


@settings(max_examples=60, deadline=None)
@given(text=hourly, zone=st.sampled_from(sorted(CHANGES)), data=st.data())
def test_the_next_time_is_the_first_minute_that_the_wall_clock_shows(text: str, zone: str, data: st.DataObject) -> None:
    clock = ZoneInfo(zone)
    midnight = datetime(*data.draw(st.sampled_from(CHANGES[zone])), tzinfo=clock) - timedelta(days=1)
    moment = int(midnight.timestamp()) + data.draw(st.integers(0, TWO_DAYS * MINUTE))
    first = moment - moment % MINUTE + MINUTE
    minutes = range(first, first + TWO_DAYS * MINUTE, MINUTE)
    expected = next((one for one in minutes if fires(text, one, clock)), None)
    assert Schedule.parse(text).next_after(moment, clock) == expected


@settings(max_examples=150, deadline=None)
@given(text=texts, day=st.dates(date(2023, 1, 1), date(2104, 12, 31)))
def test_days_by_month_and_by_week(text: str, day: date) -> None:
    minute, hour, *rest = text.split()
    wall = datetime(day.year, day.month, day.day)
    year = [datetime(2028, 1, 1) + timedelta(days=one) for one in range(366)]  # with a 29th of February
    if not any(says(" ".join(["*", "*", *rest]), one) for one in year) and all(
        allowed(rest[2], one, 0) for one in range(7)
    ):
        with pytest.raises(ConfigError, match="never comes"):
            Schedule.parse(text)
        return
    schedule = Schedule.parse(text)
    assert schedule.on(day) == says(" ".join(["*", "*", *rest]), wall)
    assert schedule.hours == {one for one in range(24) if allowed(hour, one, 0)}
    assert schedule.minutes == {one for one in range(60) if allowed(minute, one, 0)}


def at(text: str, zone: tzinfo = UTC) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_leap_years() -> None:
    """2096 has a 29th of February, 2100 has none, 2104 has one."""
    leap = Schedule.parse("0 3 29 2 *")
    assert leap.next_after(at("2096-02-29T03:00"), UTC) == at("2104-02-29T03:00")
    assert leap.next_after(at("2026-11-24T22:00"), UTC) == at("2028-02-29T03:00")
    assert Schedule.parse("0 0 31 4,6,12 *").next_after(at("2026-01-01T00:00"), UTC) == at("2026-12-31T00:00")


def test_sunday_is_0_and_the_13th_or_a_friday_is_both() -> None:
    assert Schedule.parse("0 12 * * 0").next_after(at("2026-11-24T22:00"), UTC) == at("2026-11-29T12:00")
    either, moments = Schedule.parse("0 12 13 * 5"), [at("2026-11-07T00:00")]
    for _ in range(4):
        moments.append(either.next_after(moments[-1], UTC))
    assert [datetime.fromtimestamp(one, UTC).day for one in moments[1:]] == [13, 20, 27, 4]


def test_no_night_is_left_out_when_the_clock_is_changed_and_none_comes_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    nightly = Schedule.parse("30 2 * * *")
    assert nightly.next_after(at("2026-03-28T12:00", berlin), berlin) == at("2026-03-29T03:30", berlin)
    once = nightly.next_after(at("2026-10-24T12:00", berlin), berlin)
    assert once == at("2026-10-25T00:30")  # UTC: the first of the two
    assert nightly.next_after(once, berlin) == at("2026-10-26T02:30", berlin)
    often = Schedule.parse("30 * * * *")
    assert often.next_after(once, berlin) == at("2026-10-25T01:30")


def test_without_a_zone_it_is_that_of_this_machine() -> None:
    now = datetime(2026, 11, 24, 12, 7).timestamp()
    assert Schedule.parse("0 3 * * *").next_after(now) == datetime(2026, 11, 25, 3).timestamp()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "five fields .* got 0"),
        ("* * * *", "got 4"),
        ("60 * * * *", "minute: .* from 0 to 59, .* got '60'"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day: .* from 1 to 31"),
        ("* * * 13 *", "month"),
        ("* * * * 7", "day of the week: .* from 0 to 6"),
        ("* * * jan *", "got 'jan'"),
        ("5/10 * * * *", "got '5/10'"),
        ("*/0 * * * *", "got"),
        ("9-5 * * * *", "got '9-5'"),
        ("1,,2 * * * *", "got '1,,2'"),
        ("-5 * * * *", "got '-5'"),
        ("٣ * * * *", "got"),
        ("0 0 31 2,4 *", "never comes"),
    ],
)
def test_what_is_no_schedule(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Schedule.parse(text)


def test_zones() -> None:
    assert zone_of("") is None
    assert zone_of("Europe/Berlin") == ZoneInfo("Europe/Berlin")
    for wrong in ("Europe/Atlantis", "../etc/passwd"):
        with pytest.raises(ConfigError, match="planning_zone: expected a name such as Europe/Berlin"):
            zone_of(wrong)
