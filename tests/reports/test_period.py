"""Months and weeks in a time zone, including changes of the UTC offset."""

import time
from datetime import UTC, datetime

import pytest

from monitord.reports.period import Period, PeriodKind, last_complete, month, period_containing, week

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type] # the parts of a time


@pytest.mark.parametrize(
    ("period", "name", "start", "end"),
    [
        pytest.param(month(2026, 10, "UTC"), "2026-10", utc(2026, 10, 1), utc(2026, 11, 1), id="month"),
        pytest.param(month(2026, 12, "UTC"), "2026-12", utc(2026, 12, 1), utc(2027, 1, 1), id="end of year"),
        pytest.param(
            month(2026, 10, BERLIN), "2026-10", utc(2026, 9, 30, 22), utc(2026, 10, 31, 23), id="25 hours"
        ),
        pytest.param(
            month(2026, 3, BERLIN), "2026-03", utc(2026, 2, 28, 23), utc(2026, 3, 31, 22), id="23 hours"
        ),
        pytest.param(month(2026, 3, NEW_YORK), "2026-03", utc(2026, 3, 1, 5), utc(2026, 4, 1, 4), id="west"),
        pytest.param(
            week(2026, 44, BERLIN), "2026-W44", utc(2026, 10, 25, 23), utc(2026, 11, 1, 23), id="week"
        ),
        pytest.param(
            week(2026, 43, BERLIN), "2026-W43", utc(2026, 10, 18, 22), utc(2026, 10, 25, 23), id="long week"
        ),
        pytest.param(week(2026, 1, "UTC"), "2026-W01", utc(2025, 12, 29), utc(2026, 1, 5), id="first week"),
        pytest.param(week(2026, 53, "UTC"), "2026-W53", utc(2026, 12, 28), utc(2027, 1, 4), id="week 53"),
        pytest.param(week(2025, 53, "UTC"), "2026-W01", utc(2025, 12, 29), utc(2026, 1, 5), id="no week 53"),
        pytest.param(
            month(2018, 11, "America/Sao_Paulo"),
            "2018-11",
            utc(2018, 11, 1, 3),
            utc(2018, 12, 1, 2),
            id="change within the month",
        ),
        pytest.param(
            week(2024, 17, "Africa/Cairo"),
            "2024-W17",
            utc(2024, 4, 21, 22),
            utc(2024, 4, 28, 21),
            id="midnight of a Friday is skipped",
        ),
    ],
)
def test_period_begins_and_ends_at_local_midnight(
    period: Period, name: str, start: datetime, end: datetime
) -> None:
    assert (period.name, period.start, period.end) == (name, start, end)


def test_day_whose_midnight_is_skipped_begins_after_the_gap() -> None:
    """In Beirut, summer time began at midnight of 1 May 1984."""
    assert month(1984, 5, "Asia/Beirut").start == utc(1984, 4, 30, 22)
    assert month(1984, 4, "Asia/Beirut").end == utc(1984, 4, 30, 22)
    assert month(1984, 5, "Asia/Beirut").name == "1984-05"


@pytest.mark.parametrize(
    ("period", "name"),
    [
        (month(2026, 10, BERLIN), "2026-09"),
        (month(2026, 1, BERLIN), "2025-12"),
        (week(2026, 44, BERLIN), "2026-W43"),
        (week(2026, 1, BERLIN), "2025-W52"),
        (week(2027, 1, NEW_YORK), "2026-W53"),
    ],
)
def test_previous_period_ends_where_the_period_begins(period: Period, name: str) -> None:
    previous = period.previous()
    assert (previous.name, previous.end, previous.kind) == (name, period.start, period.kind)


def test_previous_range_has_the_same_length() -> None:
    period = Period(PeriodKind.RANGE, utc(2026, 1, 3), utc(2026, 1, 5, 12), "UTC")
    assert period.previous() == Period(PeriodKind.RANGE, utc(2025, 12, 31, 12), utc(2026, 1, 3), "UTC")
    assert period.name == "2026-01-03 00:00 to 2026-01-05 12:00"


@pytest.mark.parametrize(
    ("kind", "moment", "zone", "name"),
    [
        (PeriodKind.MONTH, utc(2026, 10, 31, 22, 59), BERLIN, "2026-09"),
        (PeriodKind.MONTH, utc(2026, 10, 31, 23), BERLIN, "2026-10"),
        (PeriodKind.WEEK, utc(2026, 11, 1, 22, 59), BERLIN, "2026-W43"),
        (PeriodKind.WEEK, utc(2026, 11, 1, 23), BERLIN, "2026-W44"),
    ],
)
def test_period_is_complete_at_local_midnight(
    kind: PeriodKind, moment: datetime, zone: str, name: str
) -> None:
    assert last_complete(kind, moment, zone).name == name
    assert period_containing(kind, moment, zone).start <= moment


def test_without_a_zone_the_local_time_of_the_host_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", BERLIN)
            time.tzset()
            assert month(2026, 10, None).start == utc(2026, 9, 30, 22)
            assert month(2026, 10, None).end == utc(2026, 10, 31, 23)
    finally:
        time.tzset()
