"""Figures of a report, from a real history and from values."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.history import History, HistorySettings, IncidentTime, MaintenanceTime, Uptime
from monitord.model import Reason, State, Verdict
from monitord.reports.build import Subject, build_report, combined, outline_of, worst_first
from monitord.reports.model import Figures
from monitord.reports.period import Period, PeriodKind
from tests.history.world import SetClock
from tests.reports.world import BERLIN, DAY, HOUR, MONITORS, NOW, OCTOBER, october, stored_history

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=10)


async def test_report_has_the_figures_of_the_month_and_of_the_month_before(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report = await october(history)
    assert (report.period.name, report.previous.name, report.is_complete) == ("2026-10", "2026-09", True)
    shop, api, new = report.monitors
    assert [monitor.name for monitor in report.monitors] == ["shop", "api", "new"]
    # October has 31 days and an hour in Berlin, of which three hours are maintenance.
    assert shop.figures.uptime.covered_s == (31 * 24 + 1 - 3) * 3600
    assert shop.figures.uptime.maintenance_s == 3 * 3600
    assert (shop.figures.down_s, shop.before.down_s) == (2 * 3600, 3600)
    assert shop.ratio_change == pytest.approx(740 / 742 - 719 / 720)
    assert (api.figures.ratio, api.ratio_change) == (1.0, 0.0)
    assert new.figures.uptime.covered_s == 3 * 24 * 3600
    assert (new.is_new, new.ratio_change, api.is_new) == (True, None, False)
    assert (report.monitor_count, report.new_count) == (3, 1)
    whole_s = 3 * (31 * 24 + 1) * 3600 - 3 * 3600
    assert report.coverage == pytest.approx((742 + 745 + 72) * 3600 / whole_s)


async def test_incident_during_maintenance_and_incidents_of_others_are_not_counted(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report = await october(history)
    (reported,) = report.incidents
    assert (reported.incident.id, reported.incident.reason) == ("s3", Reason.REFUSED)
    assert (reported.duration_s, reported.is_ongoing) == (2 * 3600, False)
    assert (report.total.incidents, report.before.incidents) == (1, 1)
    (entry,) = report.maintenance
    assert (entry.monitors, entry.start, entry.end) == (
        ("shop",),
        OCTOBER.start + 2 * DAY,
        OCTOBER.start + 2 * DAY + 3 * HOUR,
    )


async def test_percentiles_and_checks_are_those_of_the_period(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report = await october(history)
    shop = report.monitors[0]
    assert (shop.checks[Verdict.PASS], shop.checks[Verdict.FAIL]) == (30, 1)
    assert shop.times is not None
    assert shop.times_before is not None
    assert shop.times.p95_s == pytest.approx(0.2, rel=0.02)
    assert shop.times_before.p50_s == pytest.approx(0.1, rel=0.02)
    assert shop.p95_trend == pytest.approx(1.0, rel=0.05)
    assert report.monitors[1].times is None


async def test_list_is_limited_to_the_worst_monitors_and_totals_are_not(tmp_path: Path) -> None:
    async with stored_history(tmp_path) as history:
        report, whole = await october(history, most=1), await october(history)
    assert [monitor.name for monitor in report.monitors] == ["shop"]
    assert (report.monitor_count, report.total) == (3, whole.total)


async def test_period_that_has_not_ended_ends_at_the_last_data(tmp_path: Path) -> None:
    period = Period(PeriodKind.RANGE, OCTOBER.end, NOW + DAY, BERLIN)
    async with stored_history(tmp_path) as history:
        report = await october(history, period)
    assert (report.is_complete, report.until) == (False, NOW)
    assert report.total.incidents == 1
    assert report.monitors[0].figures.uptime.covered_s == (NOW - OCTOBER.end).total_seconds()


async def test_period_in_the_future_has_no_data(tmp_path: Path) -> None:
    period = Period(PeriodKind.RANGE, NOW + DAY, NOW + 2 * DAY, BERLIN)
    async with stored_history(tmp_path) as history:
        report = await october(history, period)
    assert (report.total.ratio, report.total.incidents, report.coverage) == (None, 0, None)


async def test_report_without_history_is_marked() -> None:
    history = History(None, HistorySettings(), SetClock(NOW))
    report = await build_report(history, Subject("here", MONITORS), OCTOBER, NOW)
    assert (report.is_stored, report.total.ratio, report.monitor_count) == (False, None, 3)


async def test_thousands_of_monitors_are_read_in_parts(tmp_path: Path) -> None:
    """More than one part of each kind of query; all monitors but one have no history."""
    names = {f"m{number}": "" for number in range(1200)} | {"shop": ""}
    async with stored_history(tmp_path) as history:
        report = await build_report(history, Subject("here", names, 25), OCTOBER, NOW)
    assert report.monitor_count == 1201
    assert [monitor.name for monitor in report.monitors][:2] == ["shop", "m0"]
    assert len(report.monitors) == 25
    assert report.total.down_s == 2 * 3600


def incident(opened: timedelta, closed: timedelta | None, number: str = "i") -> IncidentTime:
    return IncidentTime(number, "a", START + opened, None if closed is None else START + closed)


INCIDENTS = [
    pytest.param(incident(HOUR, 3 * HOUR), [], [(7200, False)], id="within the period"),
    pytest.param(incident(-HOUR, HOUR), [], [(3600, False)], id="from before"),
    pytest.param(incident(9 * DAY, 11 * DAY), [], [(86400, True)], id="beyond the end"),
    pytest.param(incident(9 * DAY, None), [], [(86400, True)], id="open"),
    pytest.param(incident(HOUR, 3 * HOUR), [(HOUR, 2 * HOUR)], [(3600, False)], id="partly in maintenance"),
    pytest.param(incident(HOUR, 3 * HOUR), [(0 * HOUR, 4 * HOUR)], [], id="within maintenance"),
    pytest.param(
        incident(HOUR, 3 * HOUR),
        [(0 * HOUR, HOUR), (HOUR, 2 * HOUR), (2 * HOUR, 9 * HOUR)],
        [],
        id="within several maintenance periods",
    ),
    pytest.param(incident(HOUR, HOUR), [], [(0, False)], id="of no duration"),
]


@pytest.mark.parametrize(("of", "maintenance", "expected"), INCIDENTS)
def test_duration_of_an_incident_is_within_the_period_and_without_maintenance(
    of: IncidentTime, maintenance: list[tuple[timedelta, timedelta]], expected: list[tuple[float, bool]]
) -> None:
    times = [MaintenanceTime("a", START + first, START + last) for first, last in maintenance]
    outline = outline_of({"a": Uptime({})}, times, [of], START, END)
    assert [(time.duration_s, time.is_ongoing) for time in outline.incidents] == expected
    assert outline.figures["a"].incidents == outline.total.incidents == len(expected)


def test_maintenance_of_another_monitor_excludes_nothing() -> None:
    times = [MaintenanceTime("b", START, END)]
    outline = outline_of({"a": Uptime({}), "b": Uptime({})}, times, [incident(HOUR, 2 * HOUR)], START, END)
    assert [time.duration_s for time in outline.incidents] == [3600]


def figures(up_s: float, down_s: float, incidents: int = 0) -> Figures:
    return Figures(Uptime({State.UP: up_s, State.DOWN: down_s}), incidents)


def test_worst_monitors_come_first() -> None:
    found = {
        "none": Figures(Uptime({}), 0),
        "good": figures(100, 0),
        "flapping": figures(100, 0, incidents=3),
        "short": figures(9, 1),
        "long": figures(90, 10),
        "bad": figures(1, 9),
        "alike": figures(100, 0),
    }
    assert worst_first(found, 10) == ["bad", "long", "short", "flapping", "alike", "good", "none"]
    assert worst_first(found, 2) == ["bad", "long"]


def test_maintenance_at_the_same_time_is_one_entry() -> None:
    second = timedelta(seconds=1)
    times = [
        MaintenanceTime("b", START + HOUR, START + 2 * HOUR),
        MaintenanceTime("a", START + HOUR + second, START + 2 * HOUR + second),
        MaintenanceTime("a", START, START + second),
    ]
    first, last = combined(times, {})
    assert (first.monitors, last.monitors) == (("a",), ("a", "b"))
    assert (last.start, last.end) == (START + HOUR, START + 2 * HOUR + second)
