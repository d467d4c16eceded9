"""The report of a real database: selection, periods, zones and formats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import HistoryError
from tests.configurations import settings_of
from tests.endpoint import asked, make_world
from tests.fakes import monitor_settings
from tests.status.api.test_api import ValidatingClient, described
from tests.status.api.test_history import PageHistory, past

MORE = [
    monitor_settings("db-1", tags=("prod", "db")),
    monitor_settings("db-2", tags=("db",)),
    # Not listed: its uptime is not that of a service.
    monitor_settings("db-objective", tags=("db",), type_name="objective"),
]


@asynccontextmanager
async def asked_of_many() -> AsyncIterator[ValidatingClient]:
    async with asked(make_world(more=MORE)) as client:
        yield await described(client)


def recent(it: PageHistory) -> str:
    """The hour before the end of the history."""
    start, end = (moment.isoformat().replace("+00:00", "Z") for moment in (it.ago(60), it.end))
    return f"period={start}/{end}"


async def test_report_has_figures_of_the_history(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        report = (await it.ask("GET", f"/report?{recent(it)}&monitor=good")).json()
    (good,) = report["monitors"]
    assert good["uptime"]["seconds"]["down"] == 180
    assert (good["checks"]["pass"], good["checks"]["fail"]) == (27, 3)
    assert good["incidents"] == report["total"]["incidents"] == 2
    assert [incident["id"] for incident in report["incidents"]] == ["i20", "i6"]
    assert [incident["is_ongoing"] for incident in report["incidents"]] == [False, True]
    # The history stores whole milliseconds.
    durations_s = [incident["duration_s"] for incident in report["incidents"]]
    assert durations_s == pytest.approx([60, 360], abs=0.002)
    assert (report["monitor_count"], good["is_new"], report["is_complete"]) == (1, True, True)
    assert report["instance"] == "here.example.org"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a.b-c_d", "bad", "db-1", "db-2", "good"]),
        ("monitor=good", ["good"]),
        ("monitor=db-*&monitor=bad", ["bad", "db-1", "db-2"]),
        ("tag=db", ["db-1", "db-2"]),
        ("tag=db&tag=prod", ["db-1"]),
        ("tag=prod&monitor=db-*", ["db-1"]),
        ("max_monitors=2", ["a.b-c_d", "bad"]),
    ],
)
async def test_monitors_of_a_report_are_selected(query: str, names: list[str]) -> None:
    async with asked_of_many() as ask:
        report = (await ask("GET", f"/report?{query}")).json()
    assert [monitor["name"] for monitor in report["monitors"]] == names


@pytest.mark.parametrize(
    ("query", "name", "start", "end"),
    [
        ("period=2026-10&time_zone=UTC", "2026-10", "2026-10-01T00:00:00.000Z", "2026-11-01T00:00:00.000Z"),
        (
            "period=2026-10&time_zone=Europe/Berlin",
            "2026-10",
            "2026-09-30T22:00:00.000Z",
            "2026-10-31T23:00:00.000Z",
        ),
        ("period=2026-W44&time_zone=UTC", "2026-W44", "2026-10-26T00:00:00.000Z", "2026-11-02T00:00:00.000Z"),
        (
            "period=2026-01-02T00:00:00Z/2026-01-01T00:00:00Z&time_zone=UTC",
            "2026-01-01 00:00 to 2026-01-02 00:00",
            "2026-01-01T00:00:00.000Z",
            "2026-01-02T00:00:00.000Z",
        ),
        # The clock of the test shows 1 January 2026.
        ("time_zone=UTC", "2025-12", "2025-12-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"),
        ("period=week&time_zone=UTC", "2025-W52", "2025-12-22T00:00:00.000Z", "2025-12-29T00:00:00.000Z"),
    ],
)
async def test_period_is_in_the_requested_zone(query: str, name: str, start: str, end: str) -> None:
    async with asked_of_many() as ask:
        found = (await ask("GET", f"/report?{query}")).json()["period"]
    assert (found["name"], found["from"], found["to"]) == (name, start, end)


REFUSED = [
    ("period=2026-13", 400, "write a month"),
    ("period=october", 400, "write a month"),
    ("period=-7d/-1d", 400, "RFC 3339"),
    ("period=2026-01-01T00:00:00Z/", 400, "is not a time"),
    ("period=2026-10&period=2026-09", 400, "more than once"),
    ("time_zone=Europe/Atlantis", 404, "is not a time zone of this host"),
    ("time_zone=../../etc/passwd", 404, "is not a time zone of this host"),
    ("monitor=goood", 404, "did you mean good?"),
    ("monitor=x*", 404, "no monitor matches"),
    ("tag=prd", 404, "did you mean prod?"),
    ("tag=prod&monitor=bad", 404, "no monitor matches the whole selection"),
]


@pytest.mark.parametrize(("query", "status", "says"), REFUSED)
async def test_request_without_a_period_or_monitors_is_an_error(query: str, status: int, says: str) -> None:
    async with asked_of_many() as ask:
        refused = await ask("GET", f"/report?{query}")
    assert refused.status == status
    assert says in refused.json()["detail"]


async def test_html_may_use_its_inline_styles_and_nothing_else() -> None:
    async with asked_of_many() as ask:
        page = await ask("GET", "/report.html?period=2026-10&time_zone=UTC")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; ")
    assert "<h1" in page.text
    assert "Monthly report 2026-10" in page.text


async def test_text_is_plain() -> None:
    async with asked_of_many() as ask:
        answer = await ask("GET", "/report.txt?period=2026-W44&time_zone=UTC")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("Weekly report 2026-W44\n2026-10-26 00:00 to 2026-11-02 00:00 UTC")


async def test_history_that_cannot_be_read_is_503(tmp_path: Path) -> None:
    async with past(tmp_path) as it:

        async def fail(*_: Any) -> Any:
            raise HistoryError("the history cannot be read: broken")

        it.world.history.incident_times = fail  # type: ignore[method-assign, assignment]
        refused = await it.ask("GET", "/report")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")


async def test_reports_are_built_one_after_the_other(tmp_path: Path) -> None:
    async with past(tmp_path) as it:
        running, most = 0, 0
        uptimes = it.world.history.uptimes

        async def slow(*arguments: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            found = await uptimes(*arguments)
            running -= 1
            return found

        it.world.history.uptimes = slow  # type: ignore[method-assign, assignment]
        answers = await asyncio.gather(
            *(it.ask("GET", f"/report?max_monitors={number}") for number in (1, 2, 3))
        )
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert most == 1


async def test_scheduled_reports_are_listed(tmp_path: Path) -> None:
    world = make_world()
    keys = f"""
        [notifiers.ops]
        to = "ops@example.org"
        [reports.mailed]
        schedule = "weekly UTC"
        notify = "ops"
        [reports.written]
        schedule = "*-*-02 UTC"
        period = "month"
        directory = "{tmp_path / "reports"}"
    """
    settings = settings_of(tmp_path, keys)
    world.report_scheduler.apply(settings.reports, settings.alerts.notifiers)
    async with asked(world) as client:
        ask = await described(client)
        await world.report_scheduler.deliver_due()
        mailed, written = (await ask("GET", "/reports")).json()["reports"]
    assert mailed == {
        "name": "mailed",
        "schedule": "Mon *-*-* 00:00:00 UTC",
        "period": "week",
        "next_at": "2026-01-05T00:00:00.000Z",
        "notify": ["ops"],
        "directory": None,
        "last_period": None,
        "last_delivered_at": None,
        "error": None,
        "failing_since": None,
    }
    assert (written["name"], written["period"], written["notify"]) == ("written", "month", [])
    assert written["directory"] == str(tmp_path / "reports")
