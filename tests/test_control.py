"""A reload is a transaction: the new configuration is applied as a whole, or not at all."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monitord.application import ApplicationContainer
from monitord.control import JOURNAL_BURST, Control
from monitord.dispatch import LoggedChecks
from monitord.errors import ControlError
from monitord.health import IsolationPolicy
from monitord.model import Reason, Verdict
from monitord.monitors.heartbeat.monitor import Heartbeat
from monitord.settings import read_settings
from monitord.systemd.environment import ServiceEnvironment
from tests.systemd_package.fakes import FakeManager

GOOD = """
[monitors.kept]
url = "http://127.0.0.1:1/kept"
[monitors.gone]
url = "http://127.0.0.1:1/gone"
[monitors.other]
url = "http://127.0.0.1:1/other"
"""
KIM = "kim (uid 1000), pid 4711"
CHANGED = """
[log]
checks = "failures"
[limits]
max_concurrent_checks = 7
max_concurrent_per_host = 3
[network]
isolation_threshold = 0.5
canaries = ["kept"]
[monitors.kept]
url = "http://127.0.0.1:1/kept"
[monitors.other]
url = "http://127.0.0.1:1/elsewhere"
[monitors.new]
url = "http://127.0.0.1:1/new"
"""


class Running:
    """A control with a running dispatcher, and its configuration file."""

    def __init__(self, config: Path, container: ApplicationContainer, manager: FakeManager) -> None:
        self.config = config
        self.container = container
        self.control: Control = container.control
        self.manager = manager

    def world(self) -> dict[str, int]:
        """Which monitors are there; the same object stays the same number."""
        return {name: id(entry) for name, entry in self.container.dispatcher.entries.items()}


@asynccontextmanager
async def running(tmp_path: Path, text: str = GOOD) -> AsyncIterator[Running]:
    config = tmp_path / "monitord.toml"
    config.write_text(text)
    with FakeManager(str(tmp_path / "notify")) as manager:
        service = ServiceEnvironment(notify_socket=manager.address)
        container = ApplicationContainer(read_settings(config), config, service)
        container.dispatcher.start()
        container.control.apply_first()
        container.control.mark_running()
        try:
            yield Running(config, container, manager)
        finally:
            await container.dispatcher.close(0.0)
            await container.http_client.close()


async def test_reload_applies_only_the_difference(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path) as it:
        before = it.world()
        it.config.write_text(CHANGED)
        with caplog.at_level(logging.INFO):
            outcome = await it.control.reload(KIM)
        after = it.world()
        assert (outcome.ok, outcome.summary) == (True, "1 added, 1 removed, 1 changed, 1 unchanged")
        assert f"reloaded, requested by {KIM}: 1 added, 1 removed, 1 changed, 1 unchanged" in caplog.text
        assert set(after) == {"kept", "other", "new"}
        assert after["kept"] == before["kept"]
        assert after["other"] != before["other"]
        assert it.container.check_log.mode is LoggedChecks.FAILURES
        assert (it.container.slots.total, it.container.slots.per_pool) == (7, 3)
        assert it.container.pipeline.isolation.policy == IsolationPolicy(0.5, frozenset({"kept"}))
        assert it.control.last_reload == outcome


async def test_reload_applies_scheduled_reports(tmp_path: Path) -> None:
    report = f'[reports.REPORT]\nschedule = "monthly"\ndirectory = "{tmp_path}"\n'
    async with running(tmp_path, GOOD + report.replace("REPORT", "first")) as it:
        scheduler = it.container.report_scheduler
        assert [status.settings.name for status in scheduler.status()] == ["first"]
        it.config.write_text(GOOD + report.replace("REPORT", "second"))
        await it.control.reload("a test")
        assert [status.settings.name for status in scheduler.status()] == ["second"]


async def test_status_text_shows_that_the_history_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with running(tmp_path, f'[history]\ndirectory = "{tmp_path}/file"\n{GOOD}') as it:
        assert "history" not in it.control.status_line()
        it.container.history.open()
        assert "; history cannot be written: " in it.control.status_line()
        await it.container.history.close(1.0)


async def test_rejected_reload_changes_nothing_and_shows_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as it:
        before = it.world()
        it.config.write_text(GOOD + '[monitors.bad]\nurl = "http://127.0.0.1:1/"\ncheck_every = "5 min"\n')
        with caplog.at_level(logging.INFO):
            outcome = await it.control.reload(KIM)
        why = f'{it.config}:10: monitors.bad.check_every: "5 min" is not a duration; write "5m"'
        assert not outcome.ok
        assert outcome.error == why
        logged = f"reload rejected, requested by {KIM}; the previous configuration stays active\n{why}"
        assert logged in caplog.text
        assert why in it.control.status_line()
        assert it.world() == before
        it.config.write_text(GOOD)
        assert (await it.control.reload("a test")).summary == "3 unchanged"
        assert "rejected" not in it.control.status_line()


async def test_changes_that_need_a_restart_are_logged_and_reported_to_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as it:
        it.config.write_text(
            GOOD + '[status]\nallowed_hosts = ["a.example"]\n[history]\nresult_retention = "2h"\n'
        )
        outcome = await it.control.reload("a test")
        assert (outcome.ok, outcome.summary) == (
            True,
            "3 unchanged; changes to [status] and [history] will be applied at the next restart",
        )
        assert "changes to [status] and [history] will be applied at the next restart" in caplog.text
        # It holds until there is a restart, or nothing to take.
        assert "at the next restart" in (await it.control.reload("a test")).summary
        it.config.write_text(GOOD)
        assert (await it.control.reload("a test")).summary == "3 unchanged"


async def test_cluster_begins_at_the_next_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.config.write_text(GOOD + '[cluster]\ndatabase = "host=127.0.0.1"\nlocation = "fra"\n')
        outcome = await it.control.reload("a test")
        assert (outcome.ok, outcome.summary) == (
            True,
            "3 unchanged; changes to [cluster] will be applied at the next restart",
        )


@pytest.mark.parametrize("damage", ["missing", "directory", "nul", "not_utf8", "syntax", "empty_value"])
async def test_unusable_configuration_is_rejected(tmp_path: Path, damage: str) -> None:
    async with running(tmp_path) as it:
        before = it.world()
        if damage in {"missing", "directory"}:
            it.config.unlink()
        if damage == "directory":
            it.config.mkdir()
        contents = {
            "nul": b"a = 1\0",
            "not_utf8": b"a = '\xff'",
            "syntax": b"x = ",
            "empty_value": b"monitors = 3",
        }
        if damage in contents:
            it.config.write_bytes(contents[damage])
        outcome = await it.control.reload("a test")
        assert not outcome.ok
        assert outcome.error
        assert str(it.config) in outcome.error
        assert it.world() == before


async def test_service_manager_is_notified_of_a_reload_and_always_of_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        for text in (CHANGED, "x = "):
            it.config.write_text(text)
            await it.control.reload("a test")
            notifications = it.manager.notifications()
            assert "RELOADING=1" in notifications[0]
            assert "MONOTONIC_USEC=" in notifications[0]
            assert "READY=1" in notifications[-1]
            assert ("rejected" in notifications[-1]) == (text != CHANGED)


async def test_reloads_run_one_after_the_other(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.config.write_text(CHANGED)
        outcomes = await asyncio.gather(*(it.control.reload(f"client {number}") for number in range(5)))
        assert [outcome.summary for outcome in outcomes] == ["1 added, 1 removed, 1 changed, 1 unchanged"] + [
            "3 unchanged"
        ] * 4


async def test_stopping_daemon_rejects_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.control.mark_stopping()
        assert "stopping" in (await it.control.reload("a test")).summary
        assert it.control.state == "stopping"


async def test_stop_during_a_reload_leaves_everything_unchanged(tmp_path: Path) -> None:
    """Monitors that start after the end of the dispatcher would never be closed."""
    async with running(tmp_path) as it:
        before = it.world()
        it.config.write_text(CHANGED)
        reload = asyncio.ensure_future(it.control.reload("a test"))
        await asyncio.sleep(0)
        assert it.control.state == "reloading"
        it.control.mark_stopping()
        assert "stopping" in (await reload).summary
        assert it.world() == before
        assert it.control.state == "stopping"


async def test_damaged_configuration_changes_nothing_and_is_explained(tmp_path: Path) -> None:
    """A valid configuration with bytes removed, doubled, flipped or moved; some stay valid."""
    damager = random.Random(20260101)
    refused = 0
    async with running(tmp_path) as it:
        for _ in range(300):
            damaged = _damaged(CHANGED.encode(), damager)
            it.config.write_bytes(damaged)
            before = it.world()
            outcome = await it.control.reload("a test")
            if outcome.ok:
                continue
            refused += 1
            assert it.world() == before, damaged
            assert outcome.error, damaged
            assert str(it.config) in outcome.error, damaged
        assert refused > 100
        assert it.control.state == "running"


def _damaged(text: bytes, damager: random.Random) -> bytes:
    damaged = bytearray(text)
    for _ in range(damager.randint(1, 3)):
        at = damager.randrange(len(damaged))
        length = damager.randint(1, 12)
        match damager.randrange(4):
            case 0:
                del damaged[at : at + length]
            case 1:
                damaged[at] ^= 1 << damager.randrange(8)
            case 2:
                damaged[at:at] = damaged[at : at + length]
            case _:
                piece = damaged[at : at + length]
                del damaged[at : at + length]
                elsewhere = damager.randrange(len(damaged) + 1)
                damaged[elsewhere:elsewhere] = piece
    return bytes(damaged)


async def test_ping_reaches_only_its_monitor(tmp_path: Path) -> None:
    async with running(tmp_path, GOOD + '[monitors.job]\ntype = "heartbeat"\nevery = "1h"\n') as it:
        it.control.record_heartbeat("job", Heartbeat(exit_status=4), "a test")
        result = await it.control.check_now("job", "a test")
        assert (result.verdict, result.observation.reason) == (Verdict.FAIL, Reason.HEARTBEAT_FAILED)
        with pytest.raises(
            ControlError, match="kept has type http, which does not accept heartbeats; write type"
        ):
            it.control.record_heartbeat("kept", Heartbeat(), "a test")
        with pytest.raises(KeyError):
            it.control.record_heartbeat("nobody", Heartbeat(), "a test")


async def test_configuration_that_logs_more_than_the_journal_accepts_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fast = "".join(f'[monitors.m{n}]\nurl = "http://127.0.0.1:1/"\ncheck_every = 0.1\n' for n in range(201))
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, fast):
            pass
        assert "LogRateLimitBurst" in caplog.text
        caplog.clear()
        async with running(tmp_path, '[log]\nchecks = "failures"\n' + fast):
            pass
        assert "LogRateLimitBurst" not in caplog.text


def test_limit_of_log_lines_is_that_of_the_unit_file() -> None:
    unit = Path(__file__).parent.parent / "systemd" / "monitord.service"
    assert f"LogRateLimitBurst={JOURNAL_BURST}\n" in unit.read_text()
    assert "LogRateLimitIntervalSec=30s\n" in unit.read_text()


async def test_change_of_notifiers_is_applied_and_reported(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        ops = '[notifiers.ops]\ncommand = ["/bin/true"]\n'
        it.config.write_text(GOOD + ops)
        assert (await it.control.reload("test")).summary == "3 unchanged; notifiers or routes changed"
        (worker,) = it.container.alerts.workers.values()
        assert (await it.control.reload("test")).summary == "3 unchanged"
        assert it.container.alerts.workers["ops"] is worker
        it.config.write_text(GOOD + ops + 'group_wait = "1s"\n')
        assert (await it.control.reload("test")).summary == "3 unchanged; notifiers or routes changed"
        assert it.container.alerts.workers["ops"] is not worker
        it.config.write_text(GOOD + ops + "fallback = 3\n")
        assert not (await it.control.reload("test")).ok
        assert list(it.container.alerts.workers) == ["ops"]
        await it.container.alerts.close()
