"""What the road of one check leaves behind: a result that is fit to be seen, and a line with its fields."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import pytest

from monitord.conditions import FactType, Vocabulary, parse_condition
from monitord.dispatch import CheckLog, LoggedChecks, LoopPulse, Pipeline, Watched
from monitord.dispatch.pipeline import EVALUATED_AT_ONCE_S
from monitord.dispatch.schedule import Grid
from monitord.model import EXCERPT, Observation, Reason, Result, Transition, Verdict
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings, run_in_fake_time


class TalkativeMonitor(FakeMonitor):
    """Its peer repeats the password."""

    def secrets(self) -> Iterable[str]:
        return ("s3cret",)

    async def check(self) -> Observation:
        seen = await super().check()
        return replace(
            seen,
            detail="asked with s3cret",
            evidence=lambda name, _: "no\ns3cret" if name == EXCERPT else None,
        )


@pytest.mark.parametrize(
    ("reason", "verdict", "excerpt"),
    [(Reason.CONDITION_FAILED, Verdict.FAIL, "no\n***"), (Reason.OK, Verdict.PASS, None)],
)
def test_a_result_is_masked_and_an_excerpt_is_logged_of_failures_only(
    caplog: pytest.LogCaptureFixture, reason: Reason, verdict: Verdict, excerpt: str | None
) -> None:
    results: list[Result] = []

    def listen(_: Watched, result: Result | None, __: Transition | None) -> None:
        assert result is not None
        results.append(result)

    async def main() -> None:
        async def act() -> Reason:
            return reason

        clock = FakeClock()
        pipeline = Pipeline(clock, LoopPulse(clock), CheckLog(LoggedChecks.ALL))
        pipeline.listeners.append(listen)
        monitor = TalkativeMonitor(monitor_settings(), fake_tools(clock), act)
        watched = Watched(monitor, Grid(10.0, 0.0), 0.0)
        await pipeline.run(watched, lambda: True)

    with caplog.at_level(logging.INFO):
        run_in_fake_time(main)
    (result,) = results
    assert (result.verdict, result.observation.excerpt) == (verdict, excerpt)
    assert result.observation.evidence is None
    assert "s3cret" not in repr(result) + caplog.text
    fields = [record.__dict__["fields"] for record in caplog.records]
    assert fields
    assert {one.get("RESPONSE_EXCERPT") for one in fields} == {excerpt}


class FlawedMonitor(FakeMonitor):
    """What it has to show falls over."""

    async def check(self) -> Observation:
        def evidence(name: str, _: object) -> object:
            raise ZeroDivisionError(name)

        return replace(await super().check(), evidence=evidence)


def test_a_bug_in_what_a_type_has_to_show_costs_one_check_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    results: list[Result | None] = []

    async def main() -> None:
        async def act() -> Reason:
            return Reason.REFUSED

        clock = FakeClock()
        pipeline = Pipeline(clock, LoopPulse(clock), CheckLog(LoggedChecks.CHANGES))
        pipeline.listeners.append(lambda _, result, __: results.append(result))
        watched = Watched(FlawedMonitor(monitor_settings(), fake_tools(clock), act), Grid(10.0, 0.0), 0.0)
        for _ in range(3):
            await pipeline.run(watched, lambda: True)

    with caplog.at_level(logging.ERROR):
        run_in_fake_time(main)
    found = [(one.verdict, one.observation.reason) for one in results if one is not None]
    assert found == [(Verdict.UNSURE, Reason.MONITOR_BUG)] * 3
    assert sum("bug in monitor type fake" in record.getMessage() for record in caplog.records) == 1


class LargeMonitor(FakeMonitor):
    """Looking at its body takes time of the event loop."""

    vocabulary: ClassVar[Vocabulary] = Vocabulary({"body": FactType.TEXT})
    turns_at: ClassVar[list[int]] = []
    turns = 0

    async def check(self) -> Observation:
        return replace(await super().check(), evidence=self.look_up)

    def look_up(self, name: str, _: object) -> object:
        if name != "body":
            return None
        self.turns_at.append(self.turns)
        until_s = time.monotonic() + 2 * EVALUATED_AT_ONCE_S
        while time.monotonic() < until_s:
            pass
        return "noise"


@pytest.mark.parametrize("is_still_wanted", [True, False])
def test_other_tasks_run_between_the_conditions_of_one_monitor(*, is_still_wanted: bool) -> None:
    results: list[Result | None] = []

    async def main() -> None:
        clock = FakeClock()
        pipeline = Pipeline(clock, LoopPulse(clock), CheckLog(LoggedChecks.ALL))
        pipeline.listeners.append(lambda _, result, __: results.append(result))
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
        watched = Watched(monitor, Grid(10.0, 0.0), 0.0)
        monitor.turns_at.clear()
        # Given up meanwhile, as by a reload.
        is_current = iter([True, is_still_wanted])
        await pipeline.run(watched, lambda: next(is_current))
        counting.cancel()
        assert watched.is_slow_to_judge
        assert len(set(monitor.turns_at)) == len(monitor.turns_at) == 3

    run_in_fake_time(main)
    verdicts = [result.verdict for result in results if result is not None]
    assert verdicts == ([Verdict.WARN] if is_still_wanted else [])


def test_long_evaluations_of_several_monitors_take_turns_as_a_whole() -> None:
    """What they keep until the end, such as a parsed document, is not in memory for all of them at once."""
    order: list[str] = []

    async def main() -> None:
        clock = FakeClock()
        pipeline = Pipeline(clock, LoopPulse(clock), CheckLog(LoggedChecks.ALL))
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
                watched = Watched(NamedMonitor(settings, fake_tools(clock), act), Grid(10.0, 0.0), 0.0)
                group.create_task(pipeline.run(watched, lambda: True))

    run_in_fake_time(main)
    assert order == ["a"] * 3 + ["b"] * 3
