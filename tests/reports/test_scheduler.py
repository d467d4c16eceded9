"""Scheduled reports: times, files, emails, failures and restarts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import HistoryError
from monitord.net.stream import smtp
from monitord.reports.scheduler import STATE, ReportScheduler
from monitord.status.metrics.daemon import daemon_metrics
from tests.fakes import run_in_fake_time
from tests.history.world import SetClock
from tests.mail_servers import MailServer, html_of, mail_server, text_of
from tests.worlds import MemoryHistory, World

needs_mail = pytest.mark.skipif(smtp.library_problem() is not None, reason="aiosmtplib is not there")

OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Scheduled:
    """A scheduler, whose clock is set by hand, and the directory of its files."""

    world: World
    clock: SetClock
    directory: Path

    @property
    def scheduler(self) -> ReportScheduler:
        return self.world.report_scheduler

    @property
    def stored(self) -> Mapping[str, Any]:
        assert isinstance(self.world.history, MemoryHistory)
        return self.world.history.kept

    async def at(self, moment: datetime) -> list[str]:
        """Deliver what is due at this time, and return the names of all files."""
        self.clock.at = moment
        await self.scheduler.deliver_due()
        return self.files

    @property
    def files(self) -> list[str]:
        return sorted(file.name for file in self.directory.glob("*")) if self.directory.exists() else []

    @property
    def error(self) -> str | None:
        (status,) = self.scheduler.status()
        return status.error


@asynccontextmanager
async def scheduled(
    tmp_path: Path,
    now: datetime = OCTOBER,
    *,
    keys: str = "",
    server: MailServer | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncIterator[Scheduled]:
    directory = tmp_path / "reports"
    port = 25 if server is None else server.port
    config = tmp_path / "monitord.toml"
    if "schedule" not in keys:
        keys += '\nschedule = "monthly UTC"'
    if "directory" not in keys and "notify" not in keys:
        keys += f'\ndirectory = "{directory}"'
    config.write_text(
        '[monitors.shop]\nurl = "http://shop.example.org/"\ntags = ["prod"]\n'
        f'[notifiers.ops]\nto = "ops@example.org"\nserver = "127.0.0.1:{port}"\nsecurity = "none"\n'
        f"[reports.all]\n{keys}\n"
    )
    clock = SetClock(now)
    world = World(config=config, clock=clock, kept=kept)
    world.monitor("shop", tags=("prod",))
    world.monitor("blog")
    world.report_scheduler.apply(world.settings.reports, world.settings.alerts.notifiers)
    try:
        yield Scheduled(world, clock, directory)
    finally:
        await world.close()


async def test_each_period_is_delivered_once(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        assert await it.at(OCTOBER) == []
        assert await it.at(NOVEMBER - MINUTE) == []
        assert await it.at(NOVEMBER) == ["all-2026-10.html"]
        (tmp_path / "reports" / "all-2026-10.html").unlink()
        assert await it.at(NOVEMBER + HOUR) == []
        assert await it.at(DECEMBER) == ["all-2026-11.html"]


async def test_file_is_a_report_of_the_selected_monitors(tmp_path: Path) -> None:
    async with scheduled(tmp_path, keys='tags = ["prod"]') as it:
        await it.at(OCTOBER)
        await it.at(NOVEMBER)
        file = it.directory / "all-2026-10.html"
        page = file.read_text()
    assert "Monthly report 2026-10" in page
    assert ">shop<" in page
    assert ">blog<" not in page
    assert file.stat().st_mode & 0o777 == 0o644


async def test_new_report_begins_with_its_next_time(tmp_path: Path) -> None:
    async with scheduled(tmp_path, NOVEMBER + HOUR) as it:
        assert await it.at(NOVEMBER + HOUR) == []
        assert await it.at(DECEMBER) == ["all-2026-11.html"]


async def test_missed_time_is_made_up_once_after_a_restart(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        kept = dict(it.stored)
    async with scheduled(tmp_path, DECEMBER + HOUR, kept=kept) as it:
        # Of two missed periods, the last.
        assert await it.at(DECEMBER + HOUR) == ["all-2026-11.html"]
        kept = dict(it.stored)
        (it.directory / "all-2026-11.html").unlink()
    async with scheduled(tmp_path, DECEMBER + 2 * HOUR, kept=kept) as it:
        assert await it.at(DECEMBER + 2 * HOUR) == []


async def test_week_ends_on_sunday_in_the_zone_of_the_schedule(tmp_path: Path) -> None:
    async with scheduled(tmp_path, keys='schedule = "Mon 07:00 Europe/Berlin"\nperiod = "week"') as it:
        await it.at(datetime(2026, 10, 25, 12, tzinfo=UTC))
        monday = datetime(2026, 10, 26, 6, tzinfo=UTC)  # 07:00 in Berlin, after the end of summer time
        assert await it.at(monday - MINUTE) == []
        assert await it.at(monday) == ["all-2026-W43.html"]


async def test_monthly_report_may_be_delivered_later_in_the_month(tmp_path: Path) -> None:
    async with scheduled(tmp_path, keys='schedule = "*-*-05 08:00 UTC"\nperiod = "month"') as it:
        await it.at(OCTOBER)
        assert await it.at(NOVEMBER + HOUR) == []
        assert await it.at(NOVEMBER + timedelta(days=4, hours=8)) == ["all-2026-10.html"]


@needs_mail
async def test_mail_has_the_report_as_text_and_html(tmp_path: Path) -> None:
    async with mail_server() as server, scheduled(tmp_path, keys='notify = "ops"', server=server) as it:
        await it.at(OCTOBER)
        await it.at(NOVEMBER + MINUTE)
        await it.at(NOVEMBER + HOUR)
        (status,) = it.scheduler.status()
    (mail,) = server.mails
    assert mail["Subject"] == "[monitord here.example.org] Monthly report 2026-10: all"
    assert mail["To"] == "ops@example.org"
    assert mail["Message-ID"] == "<report-all-2026-10.ops@here.example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert text_of(mail).startswith("Monthly report 2026-10")
    assert "<h1" in html_of(mail)
    assert (status.last_period, status.last_delivered_at) == ("2026-10", NOVEMBER + MINUTE)
    assert status.next_at == DECEMBER


@needs_mail
async def test_failed_mail_is_retried_and_the_file_is_not_written_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server(answers={"RCPT": "450 try later"}) as server:
        keys = f'notify = "ops"\ndirectory = "{tmp_path / "reports"}"'
        async with scheduled(tmp_path, keys=keys, server=server) as it:
            await it.at(OCTOBER)
            assert await it.at(NOVEMBER) == ["all-2026-10.html"]
            assert it.error is not None
            assert it.error.startswith("ops: ")
            assert "450" in it.error
            (status,) = it.scheduler.status()
            assert status.failing_since == NOVEMBER
            (it.directory / "all-2026-10.html").unlink()
            kept = dict(it.stored)
            server.answers = {}
            await it.at(NOVEMBER + MINUTE / 2)
            assert server.mails == []
            await it.at(NOVEMBER + MINUTE)
            assert (len(server.mails), it.files) == (1, [])
            assert it.scheduler.status()[0].error is None
        # A restart before the retry also sends it.
        async with scheduled(tmp_path, NOVEMBER + HOUR, keys=keys, server=server, kept=kept) as it:
            await it.at(NOVEMBER + HOUR)
            assert (len(server.mails), it.files) == (2, [])
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert "report all: cannot be delivered, retrying: ops: " in caplog.text


async def test_failed_attempts_are_counted_across_reloads(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    async with scheduled(tmp_path, keys=f'directory = "{blocked}"') as it:

        def failures() -> tuple[float, float]:
            families = daemon_metrics(it.world.metrics_sources)
            found = {
                sample.name: sample.value
                for family in families
                for sample in family.samples
                if sample.labels == {"report": "all"}
            }
            return found["monitord_report_failing"], found["monitord_report_failures_total"]

        await it.at(OCTOBER)
        assert failures() == (0, 0)
        await it.at(NOVEMBER)
        await it.at(NOVEMBER + MINUTE)
        assert failures() == (1, 2)
        settings = it.world.settings
        changed = [replace(report, max_monitors=7) for report in settings.reports]
        it.scheduler.apply(changed, settings.alerts.notifiers)
        assert failures() == (0, 2)
        blocked.unlink()
        await it.at(NOVEMBER + HOUR)
        assert failures() == (0, 2)
        assert (blocked / "all-2026-10.html").exists()


async def test_delays_between_retries_grow_to_an_hour(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        it.directory.write_text("not a directory")
        attempts = []
        build = it.world.reports.build

        async def counted(*arguments: Any) -> Any:
            attempts.append(it.clock.now())
            return await build(*arguments)

        it.world.reports.build = counted  # type: ignore[method-assign, assignment]
        for minute in range(300):
            it.clock.at = NOVEMBER + minute * MINUTE
            await it.scheduler.deliver_due()
    minutes = [(attempt - NOVEMBER) // MINUTE for attempt in attempts]
    assert minutes == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


async def test_failure_names_the_file(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        it.directory.write_text("not a directory")
        await it.at(NOVEMBER)
        assert it.error == f"file: {it.directory}/all-2026-10.html: File exists"
        it.directory.unlink()
        assert await it.at(NOVEMBER + MINUTE) == ["all-2026-10.html"]
        assert it.error is None


async def test_history_that_cannot_be_read_delays_the_report(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        build = it.world.reports.build

        async def fail(*_: Any) -> Any:
            raise HistoryError("the history cannot be read: busy")

        it.world.reports.build = fail  # type: ignore[method-assign, assignment]
        assert await it.at(NOVEMBER) == []
        assert it.error == "the history cannot be read: busy"
        it.world.reports.build = build  # type: ignore[method-assign]
        assert await it.at(NOVEMBER + MINUTE) == ["all-2026-10.html"]


async def test_bug_in_one_report_is_logged_and_retried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)

        async def fail(*_: Any) -> Any:
            raise ZeroDivisionError

        it.world.reports.build = fail  # type: ignore[method-assign, assignment]
        await it.at(NOVEMBER)
        assert it.error == "bug in its delivery; see the journal"
    assert "ZeroDivisionError" in caplog.text


async def test_period_that_was_never_delivered_is_logged_when_the_next_is_due(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        it.directory.write_text("not a directory")
        await it.at(NOVEMBER)
        caplog.clear()
        it.directory.unlink()
        assert await it.at(DECEMBER) == ["all-2026-11.html"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "report all: not delivered completely before the next period was due" in record.getMessage()


async def test_clock_that_was_ahead_does_not_suppress_reports(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER.replace(year=2036))
        assert await it.at(OCTOBER) == []
        assert await it.at(NOVEMBER) == ["all-2026-10.html"]


async def test_damaged_state_is_discarded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = {STATE: {"all": {"done_until": "yesterday", "period_end": None, "delivered": []}, "b": 3}}
    async with scheduled(tmp_path, kept=kept) as it:
        await it.at(OCTOBER)
        assert await it.at(NOVEMBER) == ["all-2026-10.html"]
    assert "report all: discarded its stored state" in caplog.text
    assert "report b: discarded its stored state" in caplog.text


async def test_reload_keeps_the_progress(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as it:
        await it.at(OCTOBER)
        settings = it.world.settings
        it.scheduler.apply((), ())
        assert it.scheduler.status() == []
        assert await it.at(NOVEMBER) == []
        it.scheduler.apply(settings.reports, settings.alerts.notifiers)
        assert await it.at(NOVEMBER + HOUR) == ["all-2026-10.html"]


class CountingScheduler(ReportScheduler):
    """Records the times at which it looks for due reports."""

    def __init__(self, world: World) -> None:
        super().__init__(
            world.reports,
            world.registry,
            world.clock,
            world.notifier_tools,
            world.history.save_daemon_state,
            {},
        )
        self.times_s: list[float] = []

    async def deliver_due(self) -> None:
        self.times_s.append(asyncio.get_running_loop().time())


def test_due_reports_are_looked_for_twice_a_minute_and_after_a_reload(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text('[reports.all]\nschedule = "weekly"\ndirectory = "/srv"\n')

    async def main() -> list[float]:
        world = World(config=config)
        scheduler = CountingScheduler(world)
        start_s = asyncio.get_running_loop().time()
        task = asyncio.create_task(scheduler.run())
        await asyncio.sleep(100)  # without reports, nothing wakes it
        scheduler.apply(world.settings.reports, ())
        await asyncio.sleep(70)
        task.cancel()
        await asyncio.wait([task])
        await world.close()
        return [at_s - start_s for at_s in scheduler.times_s]

    assert run_in_fake_time(main) == [0, 100, 130, 160]
