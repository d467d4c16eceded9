"""What the road of one check leaves behind: a result that is fit to be seen, and a line with its fields."""

import logging
from collections.abc import Iterable
from dataclasses import replace

import pytest

from monitord.dispatch import CheckLog, LoggedChecks, LoopPulse, Pipeline, Watched
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
