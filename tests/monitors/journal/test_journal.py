"""The type `journal`: its options as written in a file, and what it counts in real journals."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.conditions import parse_condition
from monitord.dispatch.judging import judge
from monitord.journal.feed import JournalFeeds
from monitord.model import Observation, Reason, Verdict
from monitord.monitors import Tools
from monitord.monitors.journal.monitor import JournalMonitor
from monitord.monitors.journal.options import JournalOptions
from monitord.net import HttpClient, Resolver, TlsContexts
from tests.configurations import options_of
from tests.fakes import monitor_settings
from tests.journals import JournalDirectory, until, why_no_journals

ROOT = Path(__file__).parents[2].parent
LONG_S = 20.0

WHY_NOT = why_no_journals()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")

ERRORS = JournalOptions((("PRIORITY", ("3",)),), at_most=2, window_s=300.0)
DONE = JournalOptions((), pattern="^done", at_most=None, window_s=3600.0)
ERROR = {"MESSAGE": "bad", "PRIORITY": "3"}


class AdjustableClock:
    """The real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.wall_added_s = 0.0
        self.monotonic_added_s = 0.0

    def monotonic_s(self) -> float:
        return time.monotonic() + self.monotonic_added_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.wall_added_s)

    def suspended_s(self) -> float:
        return 0.0

    def pass_s(self, seconds: float) -> None:
        self.wall_added_s += seconds
        self.monotonic_added_s += seconds


class JournalBench:
    """A journal, and monitors of it one after the other, as across restarts of the daemon."""

    def __init__(self, path: Path) -> None:
        self.files = JournalDirectory(path)
        self.files.write("earlier")
        self.feeds = JournalFeeds(path)
        self.clock = AdjustableClock()
        self.cgroup = path / "cgroup"
        self.cgroup.write_text("0::/system.slice/monitord.service\n")
        self.wakes = 0
        self.monitor: JournalMonitor | None = None

    async def start(
        self,
        options: JournalOptions,
        memory: Mapping[str, Any] | None = None,
        up_when: str = "",
        timeout_s: float = LONG_S,
    ) -> JournalMonitor:
        resolver, contexts = Resolver(), TlsContexts()
        http = HttpClient(user_agent="tests", resolver=resolver, tls_contexts=contexts)
        tools = Tools(self.clock, http, resolver, contexts, journal=self.feeds)
        settings = monitor_settings(type_name="journal", options=options, timeout_s=timeout_s)
        if up_when:
            settings = replace(settings, up_when=(parse_condition(up_when, JournalMonitor.vocabulary),))
        self.monitor = JournalMonitor(settings, tools, self.cgroup)
        if memory is not None:
            self.monitor.restore_state(json.loads(json.dumps(memory)))
        self.monitor.start(self._wake)
        return self.monitor

    def _wake(self) -> None:
        self.wakes += 1

    async def close(self) -> None:
        if self.monitor is not None:
            await self.monitor.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[JournalBench]:
    found = JournalBench(tmp_path)
    yield found
    await found.close()


def verdict_of(monitor: JournalMonitor, seen: Observation) -> Verdict:
    return judge(seen, monitor.settings, None).verdict


# at_most within a window


async def test_more_matches_than_at_most_within_the_window_are_a_failure(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS)
    assert (await monitor.check()).detail == "journal: 0 matches in 5m (at most 2)"
    bench.files.write(ERROR, "fine", ERROR)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["journal.count"]) == (Reason.OK, 2)
    bench.files.write({**ERROR, "MESSAGE": "\x1b[1mworst\nof all"})
    seen = await monitor.check()
    assert seen.reason is Reason.JOURNAL_MATCHED
    assert verdict_of(monitor, seen) is Verdict.FAIL
    assert seen.detail.startswith("journal: 3 matches in 5m (at most 2), the last at 20")
    assert seen.detail.endswith(" UTC: [1mworst of all")
    assert (seen.subject, seen.detail) == ("journal", f"journal: {seen.outcome}")
    assert seen.fields["journal.lines"] == ("bad", "bad", "[1mworst of all")
    assert set(seen.fields) == set(JournalMonitor.vocabulary.fields)
    assert judge(seen, monitor.settings, None).observation.excerpt == "bad\nbad\n[1mworst of all"
    assert monitor.journal_fields(seen) == {"JOURNAL_COUNT": "3"}


async def test_matches_leave_the_window_as_time_passes(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(ERROR, count=3)
    assert (await monitor.check()).reason is Reason.JOURNAL_MATCHED
    bench.clock.pass_s(302)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["journal.count"], seen.fields["journal.total"]) == (Reason.OK, 0, 3)


async def test_match_that_causes_a_failure_requests_one_check(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(ERROR, ERROR)
    await monitor.check()
    assert bench.wakes == 0
    bench.files.write(ERROR)
    await until(lambda: bench.wakes == 1)
    assert (await monitor.check()).reason is Reason.JOURNAL_MATCHED
    bench.files.write(ERROR)
    await monitor.check()
    assert bench.wakes == 1


async def test_every_match_requests_a_check_if_conditions_are_set(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS, up_when="journal.count < 4 and not message contains 'worst'")
    await monitor.check()
    bench.files.write(ERROR, count=3)
    await until(lambda: bench.wakes == 1)
    seen = await monitor.check()
    # The conditions take the cursor of at_most.
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.OK, Verdict.PASS)
    bench.files.write({**ERROR, "MESSAGE": "worst"})
    assert verdict_of(monitor, await monitor.check()) is Verdict.FAIL


async def test_conditions_can_use_age_and_total(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS, up_when="journal.last < 1m or journal.total > 1")
    bench.files.write("fine")
    assert verdict_of(monitor, await monitor.check()) is Verdict.FAIL
    bench.files.write(ERROR)
    assert verdict_of(monitor, await monitor.check()) is Verdict.PASS
    bench.clock.pass_s(100)
    assert verdict_of(monitor, await monitor.check()) is Verdict.FAIL
    bench.files.write(ERROR)
    assert verdict_of(monitor, await monitor.check()) is Verdict.PASS


async def test_since_counts_earlier_entries_at_the_first_start(bench: JournalBench) -> None:
    # The journal wants its times in order: what lies back was written by another boot.
    bench.files.reboot()
    bench.files.rotate()
    bench.files.write(ERROR, at_s=time.time() - 3600)
    bench.files.write(ERROR, at_s=time.time() - 100, count=2)
    monitor = await bench.start(replace(ERRORS, include_existing=True))
    assert (await monitor.check()).fields["journal.total"] == 2


# absent_for


async def test_absence_of_matches_is_a_failure_until_the_next_match(bench: JournalBench) -> None:
    monitor = await bench.start(DONE)
    assert (await monitor.check()).detail == "journal: 0 matches in 1h (at least 1)"
    bench.clock.pass_s(3500)
    assert (await monitor.check()).reason is Reason.OK
    bench.clock.pass_s(200)
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.JOURNAL_ABSENT, Verdict.FAIL)
    assert seen.detail.startswith("journal: no match since 20")
    bench.files.write("not done", "done: 5 files", at_s=bench.clock.now().timestamp())
    await until(lambda: bench.wakes == 1)
    seen = await monitor.check()
    assert (seen.reason, seen.fields["message"]) == (Reason.OK, "done: 5 files")
    bench.clock.pass_s(3700)
    assert (await monitor.check()).reason is Reason.JOURNAL_ABSENT


async def test_restart_continues_the_time_without_matches(bench: JournalBench) -> None:
    monitor = await bench.start(DONE)
    await monitor.check()
    bench.clock.pass_s(3000)
    memory = monitor.dump_state()
    await bench.close()
    bench.clock.pass_s(700)
    monitor = await bench.start(DONE, memory)
    assert (await monitor.check()).reason is Reason.JOURNAL_ABSENT


async def test_entry_written_during_a_restart_ends_the_absence(bench: JournalBench) -> None:
    monitor = await bench.start(DONE)
    await monitor.check()
    bench.clock.pass_s(3500)
    memory = monitor.dump_state()
    await bench.close()
    bench.files.write("done", at_s=bench.clock.now().timestamp())
    bench.clock.pass_s(3500)
    monitor = await bench.start(DONE, memory)
    assert (await monitor.check()).reason is Reason.OK


@pytest.mark.parametrize("leap_s", [8 * 3600, -8 * 3600])
async def test_clock_step_or_suspension_does_not_count_as_absence(bench: JournalBench, leap_s: float) -> None:
    monitor = await bench.start(DONE)
    await monitor.check()
    bench.clock.pass_s(600)
    bench.clock.wall_added_s += leap_s
    seen = await monitor.check()
    assert seen.reason is Reason.OK
    bench.clock.pass_s(2800)
    assert (await monitor.check()).reason is Reason.OK
    bench.clock.pass_s(300)
    assert (await monitor.check()).reason is Reason.JOURNAL_ABSENT


async def test_time_while_the_machine_was_off_does_not_count_as_absence(bench: JournalBench) -> None:
    monitor = await bench.start(DONE)
    await monitor.check()
    bench.clock.pass_s(600)
    memory = monitor.dump_state()
    await bench.close()
    bench.clock.pass_s(8 * 3600)
    bench.files.reboot()
    bench.files.write("the machine has started", at_s=bench.clock.now().timestamp())
    monitor = await bench.start(DONE, memory)
    assert (await monitor.check()).reason is Reason.OK
    bench.clock.pass_s(3100)
    assert (await monitor.check()).reason is Reason.JOURNAL_ABSENT


# Each entry counts once


async def test_each_entry_counts_once_across_restarts(bench: JournalBench) -> None:
    memory = None
    for number in range(1, 5):
        monitor = await bench.start(ERRORS, memory)
        if memory is None:
            await monitor.check()
        bench.files.write(ERROR)
        seen = await monitor.check()
        assert seen.fields["journal.total"] == seen.fields["journal.count"] == 2 * number - 1
        memory = monitor.dump_state()
        await bench.close()
        bench.files.write(ERROR)
    assert (await (await bench.start(ERRORS, memory)).check()).fields["journal.total"] == 8


async def test_restored_state_counts_later_entries_once(bench: JournalBench) -> None:
    """As after kill -9: entries after the stored cursor are counted again."""
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(ERROR)
    await monitor.check()
    memory = monitor.dump_state()
    bench.files.write(ERROR)
    assert (await monitor.check()).fields["journal.total"] == 2
    await bench.close()
    bench.files.write(ERROR)
    monitor = await bench.start(ERRORS, memory)
    seen = await monitor.check()
    assert (seen.fields["journal.total"], seen.fields["journal.count"]) == (3, 3)


async def test_monitor_with_another_query_continues_at_the_cursor_and_counts_from_zero(
    bench: JournalBench,
) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(ERROR)
    await monitor.check()
    memory = monitor.dump_state()
    await bench.close()
    bench.files.write(ERROR, "later")
    monitor = await bench.start(replace(ERRORS, matches=(("PRIORITY", ("6",)),)), memory)
    seen = await monitor.check()
    assert (seen.fields["journal.total"], seen.fields["journal.lines"]) == (1, ("later",))


async def test_longer_window_keeps_its_count(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(ERROR, count=2)
    await monitor.check()
    memory = monitor.dump_state()
    await bench.close()
    bench.clock.pass_s(200)
    monitor = await bench.start(replace(ERRORS, window_s=3600.0), memory)
    bench.clock.pass_s(3000)
    assert (await monitor.check()).fields["journal.count"] == 2


@pytest.mark.parametrize(
    "memory",
    [
        {},
        {"cursor": 5},
        {"cursor": "nowhere"},
        {"query": [[["PRIORITY", "3"]], None], "counts": 7, "lines": 3, "total": "x"},
    ],
)
async def test_invalid_state_is_ignored(bench: JournalBench, memory: Mapping[str, Any]) -> None:
    monitor = await bench.start(ERRORS, memory)
    await monitor.check()
    bench.files.write(ERROR)
    assert (await monitor.check()).fields["journal.total"] == 1


async def test_vacuumed_cursor_is_logged_once(bench: JournalBench, caplog: pytest.LogCaptureFixture) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    memory = monitor.dump_state()
    await bench.close()
    bench.files.write("lost")
    bench.files.rotate()
    bench.files.vacuum()
    bench.files.write(ERROR)
    monitor = await bench.start(ERRORS, memory)
    seen = await monitor.check()
    assert seen.fields["journal.total"] == 1
    said = "the journal lost some entries that had not been read; counting continues after them"
    assert seen.detail.endswith(said)
    assert caplog.messages == [f"one: {said}"]
    assert said not in (await monitor.check()).detail


# Entries of monitord itself


OWN = {"MESSAGE": "bad: shop is down", "PRIORITY": "3", "_SYSTEMD_UNIT": "monitord.service"}


async def test_entries_of_monitord_itself_are_excluded(bench: JournalBench) -> None:
    monitor = await bench.start(ERRORS)
    await monitor.check()
    bench.files.write(OWN, {**OWN, "_SYSTEMD_UNIT": "monitord@branch.service"}, ERROR)
    assert (await monitor.check()).fields["journal.total"] == 1


@pytest.mark.parametrize(
    "named",
    [("_SYSTEMD_UNIT", "monitord.service"), ("SYSLOG_IDENTIFIER", "monitord"), ("MONITOR_STATE", "down")],
)
async def test_query_that_names_monitord_matches_its_own_entries(
    bench: JournalBench, named: tuple[str, str]
) -> None:
    field, value = named
    monitor = await bench.start(JournalOptions(((field, (value,)),)))
    await monitor.check()
    bench.files.write({**OWN, field: value})
    assert (await monitor.check()).fields["journal.total"] == 1


# Missing and unresponsive journals


async def test_missing_journal_is_inconclusive_with_a_hint(tmp_path: Path) -> None:
    bench = JournalBench(tmp_path)
    bench.files.file.unlink()
    monitor = await bench.start(DONE)
    bench.clock.pass_s(7200)
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.PROBER_FORBIDDEN, Verdict.INCONCLUSIVE)
    assert seen.detail == f"journal: there is no journal in {tmp_path}; see Storage= in journald.conf(5)"
    await bench.close()


async def test_unresponsive_reader_makes_absence_inconclusive_and_keeps_failures(bench: JournalBench) -> None:
    script = (
        "import sys, json\n"
        "print(json.dumps({'update': 1, 'cursor': 'x', 'counts': [[int(sys.argv[1]), 3]], 'total': 3,"
        " 'last_us': 1, 'lines': ['bad'], 'lost': 0}), flush=True)\n"
        "sys.stdin.read()\n"
    )
    slot = str(int(time.time()))
    bench.feeds = JournalFeeds(command=["/usr/bin/python3", "-c", script, slot])
    monitor = await bench.start(ERRORS, timeout_s=0.05)
    await until(lambda: bench.wakes == 1)
    assert (await monitor.check()).reason is Reason.JOURNAL_MATCHED
    await bench.close()
    bench.feeds = JournalFeeds(command=["/usr/bin/python3", "-c", script, "0"])
    monitor = await bench.start(DONE, timeout_s=0.05)
    bench.clock.pass_s(7200)
    seen = await monitor.check()
    assert (seen.reason, verdict_of(monitor, seen)) == (Reason.PROBER_STALLED, Verdict.INCONCLUSIVE)
    assert seen.detail.startswith("journal: not read to its end within 50ms")


# Options in a file


def read(tmp_path: Path, keys: str) -> JournalOptions:
    return options_of(JournalMonitor, tmp_path, keys)


WRITTEN = [
    pytest.param('unit = "nginx"', JournalOptions((("_SYSTEMD_UNIT", ("nginx.service",)),)), id="unit"),
    pytest.param(
        'unit = ["a.socket", "b"]\nidentifier = ["c", "d"]',
        JournalOptions((("SYSLOG_IDENTIFIER", ("c", "d")), ("_SYSTEMD_UNIT", ("a.socket", "b.service")))),
        id="several",
    ),
    pytest.param('priority = "err"', JournalOptions((("PRIORITY", tuple("0123")),)), id="and worse"),
    pytest.param("priority = 1", JournalOptions((("PRIORITY", ("0", "1")),)), id="number"),
    pytest.param('priority = "warning..err"', JournalOptions((("PRIORITY", ("3", "4")),)), id="range"),
    pytest.param(
        'match = { PRIORITY = ["err", "6..7"], _UID = 0 }',
        JournalOptions((("PRIORITY", ("3", "6", "7")), ("_UID", ("0",)))),
        id="match",
    ),
    pytest.param(
        'pattern = "a+$"\nat_most = 3\nwithin = "1h"\ninclude_existing = true',
        JournalOptions((), "a+$", 3, 3600.0, include_existing=True),
        id="count",
    ),
    pytest.param(
        'identifier = "x"\nabsent_for = "26h"',
        JournalOptions((("SYSLOG_IDENTIFIER", ("x",)),), None, None, 93600.0),
        id="absent",
    ),
]


@pytest.mark.parametrize(("keys", "options"), WRITTEN)
def test_options_are_read(tmp_path: Path, keys: str, options: JournalOptions) -> None:
    assert read(tmp_path, keys) == options
