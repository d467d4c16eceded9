"""The type `heartbeat`: its options as written in a file, and a dispatcher on faked time that waits for heartbeats."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.calendar_events import parse_calendar_event
from monitord.dispatch import Pause
from monitord.errors import ConfigError
from monitord.model import Observation, Reason, Result, State, Verdict
from monitord.monitors.heartbeat.monitor import (
    Heartbeat,
    HeartbeatMonitor,
    HeartbeatSchedule,
    HeartbeatSignal,
)
from monitord.settings import read_settings
from tests.configurations import options_of
from tests.fakes import (
    FakeClock,
    fake_tools,
    monitor_settings,
    run_in_fake_time,
)
from tests.worlds import RunningWorld

ROOT = Path(__file__).parents[2].parent

# Options


def read(tmp_path: Path, keys: str) -> HeartbeatSchedule:
    return options_of(HeartbeatMonitor, tmp_path, keys)


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ('every = "5m"', HeartbeatSchedule(300.0, None, 300.0, 150.0)),
        ('every = "1d"', HeartbeatSchedule(86400.0, None, 3600.0, 1800.0)),
        ('every = "1d"\ngrace = "10m"\nwarn_after = "2m"', HeartbeatSchedule(86400.0, None, 600.0, 120.0)),
        ('every = "1d"\ngrace = "10m"\nwarn_after = "10m"', HeartbeatSchedule(86400.0, None, 600.0, 600.0)),
        ('every = "1d"\nmax_runtime = "3h"', HeartbeatSchedule(86400.0, None, 3600.0, 1800.0, 10800.0)),
        (
            'schedule = "Mon 02:00 UTC"',
            HeartbeatSchedule(None, parse_calendar_event("Mon 02:00 UTC"), 3600.0, 1800.0),
        ),
    ],
)
def test_every_option_is_read(tmp_path: Path, keys: str, options: HeartbeatSchedule) -> None:
    assert read(tmp_path, keys) == options


def test_daemon_starts_with_a_calendar_that_has_ended(tmp_path: Path) -> None:
    config = tmp_path / "monitord.toml"
    config.write_text('[monitors.one]\ntype = "heartbeat"\nschedule = "1999-1-1"\n')
    with pytest.raises(ConfigError):
        read_settings(config)
    settings = read_settings(config, is_start=True)
    assert len(settings.monitors) == 1
    assert ["has only past times" in str(warning) for warning in settings.warnings] == [True]


def test_calendar_that_ends_degrades_the_monitor() -> None:
    async def main() -> None:
        bench = Bench(HeartbeatSchedule(None, parse_calendar_event("2026-01-01 02:00 UTC"), 3600.0, 1800.0))
        await asyncio.sleep(2 * 3600 + 5)
        assert bench.health() is State.UP
        ended = await bench.send_heartbeat()
        assert ended.reason is Reason.HEARTBEAT_ENDED
        assert (
            "no more heartbeats are expected: the schedule 2026-01-01 02:00:00 UTC has no future time"
            in ended.detail
        )
        await asyncio.sleep(60)
        assert bench.health() is State.DEGRADED
        await bench.close()

    story(main)


@pytest.mark.parametrize(
    ("keys", "uses_local_time"),
    [
        ('schedule = "02:00"', True),
        ('schedule = "02:00 UTC"', False),
        ('schedule = "02:00 Europe/Berlin"', False),
        ('every = "1h"', False),
    ],
)
def test_only_a_calendar_without_a_zone_depends_on_local_time(
    tmp_path: Path, keys: str, uses_local_time: bool
) -> None:
    settings = monitor_settings(type_name="heartbeat", options=read(tmp_path, keys))
    assert HeartbeatMonitor(settings, fake_tools(FakeClock())).uses_local_time is uses_local_time


# In the dispatcher


class Bench(RunningWorld):
    """One heartbeat monitor in a world."""

    def __init__(
        self, options: HeartbeatSchedule, memory: Any = None, *, check_every_s: float = 30.0
    ) -> None:
        super().__init__()
        self.full_results: list[Result] = []
        self.sink.results.append(lambda _, result: self.full_results.append(result))
        settings = monitor_settings(
            type_name="heartbeat",
            options=options,
            check_every_s=check_every_s,
            policy=HeartbeatMonitor.default_policy,
        )
        self.heartbeat = HeartbeatMonitor(settings, self.tools)
        if memory is not None:
            self.heartbeat.restore_state(memory)
        self.add(self.heartbeat)

    async def send_heartbeat(
        self, signal: HeartbeatSignal = HeartbeatSignal.SUCCESS, **expected: Any
    ) -> Observation:
        """Return the result of the check that the heartbeat triggers."""
        self.heartbeat.record_heartbeat(Heartbeat(signal, **expected), self.clock.now())
        await asyncio.sleep(0.001)
        return self.full_results[-1].observation

    def health(self) -> State:
        return self.dispatcher.entries["one"].state.health.state

    def dump_state(self) -> Any:
        """Return the state as it is loaded from storage."""
        return json.loads(json.dumps(self.heartbeat.dump_state()))


def story(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_in_fake_time(main)


EVERY_HOUR = HeartbeatSchedule(3600.0, None, grace_s=600.0, warn_after_s=300.0)
CLOSE = timedelta(milliseconds=5)


def test_late_and_missed_are_reported_in_time_with_rare_checks() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR, check_every_s=86400.0)
        await asyncio.sleep(20)
        await bench.send_heartbeat()
        heartbeat_at = bench.clock.now() - timedelta(milliseconds=1)
        assert bench.health() is State.UP
        await asyncio.sleep(3900.1)
        assert bench.health() is State.DEGRADED
        await asyncio.sleep(300)
        assert bench.health() is State.DOWN
        _, late, missed = bench.transitions
        assert (late.reason, missed.reason) == (Reason.HEARTBEAT_LATE, Reason.HEARTBEAT_MISSED)
        assert abs(late.since - heartbeat_at - timedelta(seconds=3900)) < CLOSE
        assert abs(missed.since - heartbeat_at - timedelta(seconds=4200)) < CLOSE
        assert missed.at == missed.since
        assert "late since" in late.detail
        assert "missed: no heartbeat by 2026-01-01" in missed.detail
        await bench.close()

    story(main)


def test_first_result_of_an_outage_has_its_start_and_later_results_their_own_time() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(5000)
        failures = [
            result.observation.started_at for result in bench.full_results if result.verdict is Verdict.FAIL
        ]
        assert len(failures) > 20
        assert failures == sorted(set(failures))
        assert bench.transitions[-1].since == failures[0]
        await bench.close()

    story(main)


def test_success_ends_a_missed_run_at_once() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(5000)
        assert bench.health() is State.DOWN
        await bench.send_heartbeat()
        assert bench.health() is State.UP
        await bench.close()

    story(main)


def test_job_that_never_ran_is_missed_after_the_first_start() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(3599)
        assert bench.full_results[-1].observation.fields["heartbeat.status"] == "new"
        assert bench.full_results[-1].observation.detail.startswith(
            "no heartbeat yet; next expected at 2026-01-01 01:1"
        )
        memory = bench.dump_state()
        await bench.close()
        bench = Bench(EVERY_HOUR, memory)
        await asyncio.sleep(602)
        assert bench.transitions[-1].reason is Reason.HEARTBEAT_MISSED
        await bench.close()

    story(main)


def test_failure_shows_exit_status_and_first_line_of_the_output() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        await bench.send_heartbeat(HeartbeatSignal.START)
        await asyncio.sleep(12)
        seen = await bench.send_heartbeat(exit_status=3, message="\n  disk full \x1b\nand more")
        assert bench.health() is State.DOWN
        assert seen.reason is Reason.HEARTBEAT_FAILED
        assert seen.detail == "the job failed at 2026-01-01 00:17:22 UTC with exit status 3: disk full �"
        assert seen.fields["heartbeat.exit_status"] == 3
        assert seen.fields["heartbeat.runtime"] == seen.fields["response_time"] == pytest.approx(12, abs=0.01)
        assert seen.fields["heartbeat.status"] == "failed"
        assert seen.fields["heartbeat.message"] == "disk full �"
        await bench.close()

    story(main)


def test_every_field_has_a_value_after_a_run() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        await bench.send_heartbeat(HeartbeatSignal.START)
        assert bench.full_results[-1].observation.detail.startswith(
            "running, started at 2026-01-01 00:17:10 UTC; must end by 2026"
        )
        await asyncio.sleep(75.25)
        bench.heartbeat.record_heartbeat(
            Heartbeat(exit_status=0, message="3 files\nall well"), bench.clock.now()
        )
        seen = await bench.heartbeat.check()
        response_data = seen.response_data
        assert response_data is not None
        assert {*seen.fields, "heartbeat.output"} == set(HeartbeatMonitor.vocabulary.fields)
        assert response_data("heartbeat.output", None) == "3 files\nall well"
        assert (seen.reason, seen.fields["heartbeat.status"]) == (Reason.OK, "up")
        assert seen.detail.startswith(
            "last heartbeat at 2026-01-01 00:18:25 UTC, ran 1m15s; next expected at 2026-01-01 01:"
        )
        await bench.close()

    story(main)


def test_run_that_does_not_end_is_missed() -> None:
    async def main() -> None:
        bench = Bench(HeartbeatSchedule(3600.0, None, 600.0, 300.0, max_runtime_s=60.0))
        await asyncio.sleep(30)
        await bench.send_heartbeat(HeartbeatSignal.START)
        began_at = bench.clock.now()
        await asyncio.sleep(61)
        assert abs(bench.transitions[-1].since - began_at - timedelta(seconds=60)) < CLOSE
        assert "and did not end by" in bench.transitions[-1].detail
        await bench.close()

    story(main)


# Restarts, sleep and clocks that jump


async def restarted(bench: Bench, away_s: float) -> Bench:
    memory = bench.dump_state()
    await bench.close()
    await asyncio.sleep(away_s)
    return Bench(EVERY_HOUR, memory)


def test_restart_before_the_deadline_changes_nothing() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        await bench.send_heartbeat()
        heartbeat_at = bench.clock.now()
        await asyncio.sleep(1000)
        bench = await restarted(bench, 1000)
        await asyncio.sleep(2300)
        assert bench.transitions[-1].reason is Reason.HEARTBEAT_MISSED
        assert abs(bench.transitions[-1].since - heartbeat_at - timedelta(seconds=4200)) < CLOSE
        await bench.close()

    story(main)


def test_deadline_during_a_stop_is_met_by_a_heartbeat_within_the_grace() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        await bench.send_heartbeat()
        bench = await restarted(bench, 9000)
        await asyncio.sleep(590)
        await bench.send_heartbeat()
        await asyncio.sleep(3000)
        assert [(transition.before, transition.after) for transition in bench.transitions] == [
            (State.PENDING, State.UP)
        ]
        await bench.close()

    story(main)


def test_deadline_during_a_stop_fails_one_grace_period_after_the_start_at_its_own_time() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        await bench.send_heartbeat()
        heartbeat_at = bench.clock.now()
        bench = await restarted(bench, 9000)
        await asyncio.sleep(599)
        assert bench.health() is State.UP
        await asyncio.sleep(2)
        assert bench.health() is State.DOWN
        assert abs(bench.transitions[-1].since - heartbeat_at - timedelta(seconds=4200)) < CLOSE
        await bench.close()

    story(main)


def test_restart_keeps_the_beginning_of_a_reported_outage() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(5000)
        bench = await restarted(bench, 100)
        began_at = bench.clock.now()
        await asyncio.sleep(100)
        assert bench.health() is State.DOWN
        assert all(result.observation.started_at >= began_at for result in bench.full_results)
        await bench.close()

    story(main)


@pytest.mark.parametrize(("every_s", "health"), [(86400.0, State.UP), (1800.0, State.DOWN)])
def test_run_missed_by_another_schedule_is_evaluated_again(every_s: float, health: State) -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(5000)
        assert bench.health() is State.DOWN
        settings = replace(bench.heartbeat.settings, options=replace(EVERY_HOUR, every_s=every_s))
        bench.dispatcher.apply(
            bench.dispatcher.plan([settings], lambda made: HeartbeatMonitor(made, bench.tools))
        )
        await asyncio.sleep(30)
        assert bench.health() is health
        await bench.close()

    story(main)


def test_state_of_another_release_is_restored_as_far_as_it_is_valid() -> None:
    async def main() -> None:
        clock = FakeClock()
        settings = monitor_settings(type_name="heartbeat", options=EVERY_HOUR)
        good = {"began_at": "2026-01-01T00:00:00+00:00", "seen_at": "2026-01-01T00:10:00+00:00"}
        for memory in (
            {},
            {"began_at": 7, "seen_at": None},
            {"began_at": "yesterday", "seen_at": "2026-01-01T00:00:00"},
            {
                **good,
                "ended_at": "soon",
                "runtime_s": "long",
                "exit_status": True,
                "message": 3,
                "reported": [1],
            },
            {**good, "has_failed": "yes", "missed_at": {}, "colour": "red"},
        ):
            monitor = HeartbeatMonitor(settings, fake_tools(clock))
            monitor.restore_state(memory)
            monitor.start(lambda: None)
            seen = await monitor.check()
            assert (seen.reason, seen.fields["heartbeat.status"]) == (Reason.OK, "new")
            await monitor.close()

    story(main)


signals = st.sampled_from(
    [HeartbeatSignal.SUCCESS, HeartbeatSignal.START, HeartbeatSignal.FAIL, HeartbeatSignal.LOG]
)


@given(st.lists(st.tuples(st.integers(1, 5000), signals, st.text(max_size=5), st.sampled_from([None, "a"]))))
def test_state_is_restored_after_any_sequence_of_events(
    steps: list[tuple[int, HeartbeatSignal, str, str | None]],
) -> None:
    async def main() -> None:
        clock = FakeClock()
        settings = monitor_settings(type_name="heartbeat", options=EVERY_HOUR)
        monitor = HeartbeatMonitor(settings, fake_tools(clock))
        monitor.start(lambda: None)
        for pause_s, signal, message, run_id in steps:
            await asyncio.sleep(pause_s)
            monitor.record_heartbeat(Heartbeat(signal, message=message, run_id=run_id), clock.now())
            again = HeartbeatMonitor(settings, fake_tools(clock))
            again.restore_state(json.loads(json.dumps(monitor.dump_state())))
            seen, expected = await again.check(), await monitor.check()
            assert replace(seen, response_data=None) == replace(expected, response_data=None)
            await monitor.close()
            monitor = again
            monitor.start(lambda: None)
        await monitor.close()

    story(main)


def test_deadline_during_a_suspension_is_not_missed_at_once() -> None:
    async def main() -> None:
        clock = FakeClock()
        monitor = HeartbeatMonitor(monitor_settings(check_every_s=1e6, options=EVERY_HOUR), fake_tools(clock))
        monitor.start(lambda: None)
        monitor.record_heartbeat(Heartbeat(), clock.now())
        await asyncio.sleep(30)
        clock.ahead_s = 8 * 3600.0
        assert (await monitor.check()).reason is Reason.OK
        await asyncio.sleep(599)
        assert (await monitor.check()).reason is Reason.OK
        await asyncio.sleep(2)
        assert (await monitor.check()).reason is Reason.HEARTBEAT_MISSED
        await monitor.close()

    story(main)


def test_clock_set_back_does_not_postpone_a_deadline() -> None:
    async def main() -> None:
        clock = FakeClock()
        clock.ahead_s = 86400.0
        monitor = HeartbeatMonitor(monitor_settings(check_every_s=1e6, options=EVERY_HOUR), fake_tools(clock))
        monitor.start(lambda: None)
        monitor.record_heartbeat(Heartbeat(), clock.now())
        clock.ahead_s = 0.0
        assert (await monitor.check()).fields["heartbeat.last_seen"] == 0
        await asyncio.sleep(4201)
        assert (await monitor.check()).reason is Reason.HEARTBEAT_MISSED
        await monitor.close()

    story(main)


@pytest.mark.parametrize("signal", [None, HeartbeatSignal.START, HeartbeatSignal.LOG])
def test_heartbeat_is_awaited_for_another_grace_period_after_a_pause(signal: HeartbeatSignal | None) -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        bench.dispatcher.pause("one", Pause("root", bench.clock.now()))
        await asyncio.sleep(9000)
        if signal is not None:
            bench.heartbeat.record_heartbeat(Heartbeat(signal), bench.clock.now())
        await asyncio.sleep(9000)
        bench.dispatcher.resume("one")
        await asyncio.sleep(590)
        assert bench.health() is State.UP
        await asyncio.sleep(20)
        assert bench.health() is State.DOWN
        await bench.close()

    story(main)


def test_message_of_the_last_run_is_not_shown_for_a_missed_run() -> None:
    async def main() -> None:
        bench = Bench(EVERY_HOUR)
        await asyncio.sleep(30)
        assert (await bench.send_heartbeat(message="fine")).detail.endswith(": fine")
        await asyncio.sleep(5000)
        assert "fine" not in bench.full_results[-1].observation.detail
        await bench.close()

    story(main)


def test_closed_monitor_is_not_woken() -> None:
    async def main() -> None:
        woken: list[None] = []
        monitor = HeartbeatMonitor(monitor_settings(options=EVERY_HOUR), fake_tools(FakeClock()))
        monitor.start(lambda: woken.append(None))
        await monitor.close()
        monitor.record_heartbeat(Heartbeat(), FakeClock.START)
        await asyncio.sleep(10_000)
        assert woken == []

    story(main)
