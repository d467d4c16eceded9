"""The last checks of each monitor: what was heard, after what the history knows of before."""

from datetime import UTC, datetime, timedelta

from monitord.dispatch import CheckCycle, Watched
from monitord.dispatch.schedule import Grid
from monitord.history import StoredResult
from monitord.model import Observation, Reason, Result, State, Verdict
from monitord.status.model.recent import KEPT, KEPT_FAILURES, Recent, mark_of
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def watched(name: str) -> Watched:
    return Watched(
        FakeMonitor(monitor_settings(name), fake_tools(FakeClock())), CheckCycle(Grid(10.0, 0.0), 0.0)
    )


def result(second: float, verdict: Verdict = Verdict.PASS, **fields: float) -> Result:
    return Result(Observation(at(second), 0.25, Reason.OK, "", fields=fields), verdict)


def hear(recent: Recent, name: str, *seconds: float) -> None:
    for second in seconds:
        recent.on_result(watched(name), result(second))


def moments(recent: Recent, name: str) -> list[float]:
    return [(mark.at - START).total_seconds() for mark in recent.of(name)]


def test_only_the_newest_are_kept() -> None:
    recent = Recent()
    hear(recent, "shop", *range(KEPT + 5))
    assert moments(recent, "shop") == list(range(5, KEPT + 5))
    assert recent.heard("shop") == KEPT + 5


def test_a_failure_has_no_response_time_and_an_answer_that_of_its_type() -> None:
    assert mark_of(result(0, Verdict.FAIL, response_time=5.0)).response_s is None
    assert mark_of(result(0, Verdict.INCONCLUSIVE)).response_s is None
    assert mark_of(result(0, Verdict.WARN, response_time=0.5)).response_s == 0.5
    assert mark_of(result(0)).response_s == 0.25


def stored(*seconds: float, verdict: Verdict = Verdict.PASS) -> list[StoredResult]:
    """The newest first, as the history tells them."""
    return [
        StoredResult(at(second), verdict, State.UP, Reason.OK, 0.5)
        for second in sorted(seconds, reverse=True)
    ]


def test_the_history_goes_before_what_was_heard_and_nothing_is_there_twice() -> None:
    recent = Recent()
    hear(recent, "shop", 30.0004, 40)
    # The history has heard the check at 30 as well, and keeps milliseconds.
    recent.fill("shop", stored(10, 20, 30.0))
    assert moments(recent, "shop") == [10, 20, 30.0004, 40]


def test_a_failure_out_of_the_history_has_no_response_time_either() -> None:
    recent = Recent()
    recent.fill("shop", stored(1))
    recent.fill("blog", stored(1, verdict=Verdict.FAIL))
    assert [mark.response_s for mark in recent.of("shop")] == [0.5]
    assert [mark.response_s for mark in recent.of("blog")] == [None]


def test_it_is_filled_once() -> None:
    recent = Recent()
    assert recent.missing(["shop", "blog"]) == ["shop", "blog"]
    recent.fill("shop", stored(1))
    recent.fill("shop", stored(0, 1))
    assert recent.missing(["shop", "blog"]) == ["blog"]
    assert moments(recent, "shop") == [1]


def test_the_last_failures_are_kept_whole_the_newest_first() -> None:
    recent = Recent()
    for second in range(KEPT_FAILURES + 2):
        recent.on_result(watched("shop"), result(second, Verdict.FAIL, status=503.0))
        recent.on_result(watched("shop"), result(second + 0.5))
    kept = recent.failures("shop")
    assert [(one.observation.started_at - START).total_seconds() for one in kept] == [6, 5, 4, 3, 2]
    assert kept[0].observation.fields == {"status": 503.0}
    assert recent.failures("blog") == ()


def test_what_left_the_configuration_is_forgotten_and_asked_for_anew_when_it_returns() -> None:
    recent = Recent()
    for name in ("shop", "blog"):
        recent.fill(name, ())
        hear(recent, name, 1)
    recent.forget_all_but({"blog"})
    assert recent.of("shop") == ()
    assert moments(recent, "blog") == [1]
    assert recent.missing(["shop", "blog"]) == ["shop"]
