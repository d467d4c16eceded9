"""The steps of a check: masked results, log lines with their fields, and sinks."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import pytest

from monitord.conditions import FieldType, Vocabulary, parse_condition
from monitord.dispatch import (
    CheckCycle,
    CheckLog,
    ClockStep,
    LoggedChecks,
    MonitorEntry,
    Pipeline,
    Registry,
    Sink,
    StallDetector,
)
from monitord.dispatch.pipeline import EVALUATION_SLICE_S
from monitord.dispatch.schedule import Grid
from monitord.health import IsolationPolicy
from monitord.model import (
    EXCERPT,
    Incident,
    Observation,
    Reason,
    Result,
    State,
    Transition,
    Verdict,
)
from tests.fakes import (
    FakeClock,
    FakeMonitor,
    FakeSink,
    fake_tools,
    monitor_settings,
    run_in_fake_time,
)


class TalkativeMonitor(FakeMonitor):
    """A monitor whose peer repeats the password."""

    def secrets(self) -> Iterable[str]:
        return ("s3cret",)

    async def check(self) -> Observation:
        seen = await super().check()
        return replace(
            seen,
            detail="asked with s3cret",
            response_data=lambda name, _: "no\ns3cret" if name == EXCERPT else None,
        )


@pytest.mark.parametrize(
    ("reason", "verdict", "excerpt"),
    [(Reason.CONDITION_FAILED, Verdict.FAIL, "no\n***"), (Reason.OK, Verdict.PASS, None)],
)
def test_result_is_masked_and_only_failures_have_an_excerpt(
    caplog: pytest.LogCaptureFixture, reason: Reason, verdict: Verdict, excerpt: str | None
) -> None:
    results: list[Result] = []

    async def main() -> None:
        async def act() -> Reason:
            return reason

        clock = FakeClock()
        sink = FakeSink()
        sink.results.append(lambda _, result: results.append(result))
        pipeline = Pipeline(clock, StallDetector(clock), CheckLog(LoggedChecks.ALL), sinks=(sink,))
        monitor = TalkativeMonitor(monitor_settings(), fake_tools(clock), act)
        entry = MonitorEntry(monitor, CheckCycle(Grid(10.0, 0.0), 0.0))
        await pipeline.run(entry, lambda: True)

    with caplog.at_level(logging.INFO):
        run_in_fake_time(main)
    (result,) = results
    assert (result.verdict, result.observation.excerpt) == (verdict, excerpt)
    assert result.observation.response_data is None
    assert "s3cret" not in repr(result) + caplog.text
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert fields
    assert {field.get("RESPONSE_EXCERPT") for field in fields} == {excerpt}


class FlawedMonitor(FakeMonitor):
    """A monitor that raises an exception when its response data is requested."""

    async def check(self) -> Observation:
        def response_data(name: str, _: object) -> object:
            raise ZeroDivisionError(name)

        return replace(await super().check(), response_data=response_data)


def test_bug_in_the_evidence_of_a_type_affects_one_check_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    results: list[Result] = []

    async def main() -> None:
        async def act() -> Reason:
            return Reason.REFUSED

        clock = FakeClock()
        sink = FakeSink()
        sink.results.append(lambda _, result: results.append(result))
        pipeline = Pipeline(clock, StallDetector(clock), CheckLog(LoggedChecks.CHANGES), sinks=(sink,))
        entry = MonitorEntry(
            FlawedMonitor(monitor_settings(), fake_tools(clock), act), CheckCycle(Grid(10.0, 0.0), 0.0)
        )
        for _ in range(3):
            await pipeline.run(entry, lambda: True)

    with caplog.at_level(logging.ERROR):
        run_in_fake_time(main)
    found = [(result.verdict, result.observation.reason) for result in results]
    assert found == [(Verdict.INCONCLUSIVE, Reason.MONITOR_BUG)] * 3
    assert sum("bug in monitor type fake" in record.getMessage() for record in caplog.records) == 1


class LargeMonitor(FakeMonitor):
    """Looking at its body takes time of the event loop."""

    vocabulary: ClassVar[Vocabulary] = Vocabulary({"body": FieldType.TEXT})
    turns_at: ClassVar[list[int]] = []
    turns = 0

    async def check(self) -> Observation:
        return replace(await super().check(), response_data=self.look_up)

    def look_up(self, name: str, _: object) -> object:
        if name != "body":
            return None
        self.turns_at.append(self.turns)
        until_s = time.monotonic() + 2 * EVALUATION_SLICE_S
        while time.monotonic() < until_s:
            pass
        return "noise"


@pytest.mark.parametrize("is_still_wanted", [True, False])
def test_other_tasks_run_between_the_conditions_of_one_monitor(*, is_still_wanted: bool) -> None:
    results: list[Result] = []

    async def main() -> None:
        clock = FakeClock()
        sink = FakeSink()
        sink.results.append(lambda _, result: results.append(result))
        pipeline = Pipeline(clock, StallDetector(clock), CheckLog(LoggedChecks.ALL), sinks=(sink,))
        conditions = tuple(
            parse_condition(f"body contains '{word}'", LargeMonitor.vocabulary) for word in ("no", "is", "e")
        )
        settings = replace(monitor_settings(), up_when=conditions[:2], degraded_when=conditions[2:])

        async def act() -> Reason:
            return Reason.OK

        monitor = LargeMonitor(settings, fake_tools(clock), act)

        async def count_turns() -> None:
            while True:
                monitor.turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count_turns())
        entry = MonitorEntry(monitor, CheckCycle(Grid(10.0, 0.0), 0.0))
        monitor.turns_at.clear()
        # Not current after the evaluation, as after a reload.
        is_current = iter([True, is_still_wanted])
        await pipeline.run(entry, lambda: next(is_current))
        counting.cancel()
        assert entry.state.is_slow_to_evaluate
        assert len(set(monitor.turns_at)) == len(monitor.turns_at) == 3

    run_in_fake_time(main)
    verdicts = [result.verdict for result in results]
    assert verdicts == ([Verdict.WARN] if is_still_wanted else [])


def test_long_evaluations_of_several_monitors_take_turns_as_a_whole() -> None:
    """Data that is kept until the end, such as a parsed document, is not in memory for all monitors at once."""
    order: list[str] = []

    async def main() -> None:
        clock = FakeClock()
        pipeline = Pipeline(clock, StallDetector(clock), CheckLog(LoggedChecks.ALL))
        condition = parse_condition("body contains 'e'", LargeMonitor.vocabulary)

        class NamedMonitor(LargeMonitor):
            def look_up(self, name: str, argument: object) -> object:
                if name == "body":
                    order.append(self.settings.name)
                return super().look_up(name, argument)

        async def act() -> Reason:
            return Reason.OK

        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                settings = replace(monitor_settings(name), up_when=(condition,) * 3)
                entry = MonitorEntry(
                    NamedMonitor(settings, fake_tools(clock), act), CheckCycle(Grid(10.0, 0.0), 0.0)
                )
                group.create_task(pipeline.run(entry, lambda: True))

    run_in_fake_time(main)
    assert order == ["a"] * 3 + ["b"] * 3


class BrokenSink(Sink):
    """Fails at one of the events, and counts how often it was asked to consume it."""

    def __init__(self, event: str) -> None:
        self.event = event
        self.calls = 0

    def _fail_at(self, event: str) -> None:
        if event == self.event:
            self.calls += 1
            raise ZeroDivisionError(event)

    def on_result(self, entry: MonitorEntry, result: Result) -> None:
        self._fail_at("result")

    def on_transition(self, entry: MonitorEntry, transition: Transition) -> None:
        self._fail_at("transition")

    def on_update(self, entry: MonitorEntry) -> None:
        self._fail_at("update")

    def on_incident(self, entry: MonitorEntry, incident: Incident) -> None:
        self._fail_at("incident")

    def on_renamed(self, old: str, entry: MonitorEntry) -> None:
        self._fail_at("renamed")

    def on_removed(self, entry: MonitorEntry) -> None:
        self._fail_at("removed")

    def on_isolation_change(self, *, is_isolated: bool) -> None:
        self._fail_at("isolation")

    def on_clock_step(self, step: ClockStep) -> None:
        self._fail_at("clock")


@pytest.mark.parametrize(
    "event", ["result", "transition", "update", "incident", "renamed", "removed", "isolation", "clock"]
)
def test_exception_in_a_sink_is_logged_and_affects_neither_the_result_nor_other_sinks(
    caplog: pytest.LogCaptureFixture, event: str
) -> None:
    async def main() -> None:
        clock, registry, broken, sink = FakeClock(), Registry(), BrokenSink(event), FakeSink()
        results: list[Result] = []
        incidents: list[Incident] = []
        sink.results.append(lambda _, result: results.append(result))
        sink.incidents.append(incidents.append)
        log, stall_detector = CheckLog(LoggedChecks.CHANGES), StallDetector(clock)
        stall_detector.start()
        # Isolated before: the second monitor that passes shows that it is over.
        pipeline = Pipeline(clock, stall_detector, log, registry, (broken, sink), was_isolated=True)
        failing: list[Reason] = []

        async def act() -> Reason:
            return failing[0] if failing else Reason.OK

        tools = fake_tools(clock)
        monitors = [FakeMonitor(monitor_settings("a"), tools, act), FakeMonitor(monitor_settings("b"), tools)]
        for monitor in monitors:
            registry.add(MonitorEntry(monitor, CheckCycle(Grid(10.0, 0.0), 0.0)))
        pipeline.isolation.configure(dict.fromkeys(registry.entries, 10.0), IsolationPolicy())
        first, second = registry.entries.values()
        for entry in (first, second):
            await pipeline.run(entry, lambda: True)
        await asyncio.sleep(20)  # failures right after an isolation are inconclusive
        first.cycle.scheduled_at_s = clock.monotonic_s()
        failing.append(Reason.REFUSED)
        clock.ahead_s = 3600.0
        for entry in (first, first, first, second):
            await pipeline.run(entry, lambda: True)
        pipeline.publish_state(first)
        pipeline.rename("before", first)
        pipeline.remove(first)
        stall_detector.stop()
        assert broken.calls
        assert len(results) == 6
        assert (first.state.last, second.state.last) == (results[-2], results[-1])
        assert (first.state.effective, second.state.effective) == (State.DOWN, State.UP)
        assert [incident.closed_at is None for incident in incidents] == [True, False]
        assert not pipeline.isolation.is_isolated
        logged = [record for record in caplog.records if "BrokenSink failed" in record.getMessage()]
        assert len(logged) == broken.calls

    run_in_fake_time(main)
