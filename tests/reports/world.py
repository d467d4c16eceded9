"""A real history: `shop` is down for an hour in September 2026 and two in October, `new` exists for three days."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitord.history import History
from monitord.model import Incident, Reason, State, Verdict
from monitord.reports.build import Subject, SubjectObjective, build_report
from monitord.reports.model import Report
from monitord.reports.period import Period, month
from tests.history.world import Life, SetClock, result, written

BERLIN = "Europe/Berlin"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

OCTOBER = month(2026, 10, BERLIN)
NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
MONITORS = {"shop": "Web shop", "api": "", "new": ""}


@asynccontextmanager
async def stored_history(path: Path) -> AsyncIterator[History]:
    """A history of September and October 2026 in Berlin, as it is after both."""
    life = Life(path / "history.sqlite3", clock=SetClock(OCTOBER.previous().start))
    history = life.begin()
    try:
        await _write(history, life.clock)
        yield history
    finally:
        await history.close(5.0)


async def _write(history: History, clock: SetClock) -> None:
    september, october = OCTOBER.previous().start, OCTOBER.start

    for name in ("shop", "api"):
        history.record_state(name, State.UP, in_maintenance=False, at=september)
    changes = [
        ("shop", State.DOWN, False, september + 10 * DAY),
        ("shop", State.UP, False, september + 10 * DAY + HOUR),
        ("shop", State.UP, True, october + 2 * DAY),
        ("shop", State.DOWN, True, october + 2 * DAY + HOUR),
        ("shop", State.UP, True, october + 2 * DAY + 2 * HOUR),
        ("shop", State.UP, False, october + 2 * DAY + 3 * HOUR),
        ("shop", State.DOWN, False, october + 5 * DAY),
        ("shop", State.UP, False, october + 5 * DAY + 2 * HOUR),
        ("new", State.UP, False, OCTOBER.end - 3 * DAY),
    ]
    for name, state, in_maintenance, at in changes:
        history.record_state(name, state, in_maintenance=in_maintenance, at=at)
    incidents = [
        Incident(
            "s1", "shop", september + 10 * DAY, Reason.REFUSED, "no answer", september + 10 * DAY + HOUR
        ),
        Incident(
            "s2",
            "shop",
            october + 2 * DAY + HOUR,
            Reason.TIMEOUT_CONNECT,
            "upgrade",
            october + 2 * DAY + 2 * HOUR,
        ),
        Incident(
            "s3", "shop", october + 5 * DAY, Reason.REFUSED, "<b>refused</b>", october + 5 * DAY + 2 * HOUR
        ),
        Incident("s4", "shop", OCTOBER.end + HOUR, Reason.REFUSED, "later", OCTOBER.end + 2 * HOUR),
        Incident("x1", "removed", october + DAY, Reason.REFUSED, "other", october + 2 * DAY),
    ]
    for incident in incidents:
        history.add_incident(incident)
    for day in range(60):
        at = september + day * DAY + 12 * HOUR
        seconds = 0.1 if at < october else 0.2
        history.add_result("shop", result(at, duration_s=seconds, response_time=seconds), State.UP)
    history.add_result("shop", result(october + 5 * DAY, Verdict.FAIL), State.DOWN)
    await written(history)
    # A single tick: time between two of them would count as time in which the daemon did not run.
    clock.at = NOW
    history.tick(NOW)
    await written(history)


async def october(
    history: History,
    period: Period = OCTOBER,
    most: int = 100,
    objectives: Sequence[SubjectObjective] = (),
    public_url: str = "",
) -> Report:
    subject = Subject("here.example.org", MONITORS, most, objectives, public_url)
    return await build_report(history, subject, period, NOW)
