"""The read model: revisions, cached responses, and the last checks of each monitor."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitord.dispatch import CheckCycle, Matcher, MonitorEntry, Registry, Silence
from monitord.dispatch.schedule import Grid
from monitord.history import StoredResult
from monitord.model import Observation, Reason, Result, State, Transition, Verdict
from monitord.status.model.read_model import (
    KEPT_FAILURES,
    KEPT_MARKS,
    REFRESH_EVERY_S,
    UNREAD_AFTER_S,
    MonitorRecord,
    ReadModel,
)
from tests.fakes import FakeClock, FakeMonitor, fake_tools, monitor_settings
from tests.history.world import SetClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def entry(name: str) -> MonitorEntry:
    return MonitorEntry(
        FakeMonitor(monitor_settings(name), fake_tools(FakeClock())), CheckCycle(Grid(10.0, 0.0), 0.0)
    )


def result(second: float, verdict: Verdict = Verdict.PASS, **fields: float) -> Result:
    return Result(Observation(at(second), 0.25, Reason.OK, "", fields=fields), verdict)


class World:
    """A read model of a registry that tests change."""

    def __init__(self, *names: str) -> None:
        self.clock = SetClock(START)
        self.registry = Registry()
        for name in names:
            self.registry.add(entry(name))
        self.model = ReadModel(self.registry, self.clock)
        self.model.refresh()

    def check(self, name: str, *results: Result) -> None:
        monitor = self.registry.entries[name]
        for each in results:
            monitor.state = replace(monitor.state, last=each)
            self.model.on_result(monitor, each)

    def remove(self, name: str) -> None:
        removed = self.registry.remove(name)
        assert removed is not None
        self.model.on_removed(removed)

    def revisions(self) -> dict[str, int]:
        self.model.refresh()
        return {name: record.revision for name, record in self.model.monitors.items()}

    def seconds_of_marks(self, name: str) -> list[float]:
        return [(mark.at - START).total_seconds() for mark in self.model.monitors[name].marks.unpacked()]


def test_check_increments_the_revision_of_its_monitor_and_of_the_model() -> None:
    world = World("shop", "blog")
    assert (world.model.revision, world.revisions()) == (1, {"shop": 1, "blog": 1})
    world.check("shop", result(0))
    assert world.revisions() == {"shop": 2, "blog": 1}
    assert world.model.revision == 2


def test_record_keeps_the_state_of_its_revision_while_it_may_be_read() -> None:
    world = World("shop")
    world.clock.at = at(UNREAD_AFTER_S)
    world.check("shop", result(0))
    assert world.model.monitors["shop"].state.last is None


def test_without_readers_a_record_keeps_only_the_current_state() -> None:
    world = World("shop", "blog")
    world.clock.at = at(UNREAD_AFTER_S + 1)
    for second in (0, 10):
        world.check("shop", result(second))
        assert world.model.monitors["shop"].state is world.registry.entries["shop"].state
    assert world.revisions() == {"shop": 2, "blog": 1}
    world.check("shop", result(20))
    assert world.revisions() == {"shop": 3, "blog": 1}


def test_refresh_without_a_change_keeps_the_revision() -> None:
    world = World("shop")
    world.check("shop", result(0))
    assert world.revisions() == world.revisions()
    assert world.model.revision == 2


def test_added_removed_and_replaced_monitors_change_the_revision() -> None:
    world = World("shop")
    world.registry.add(entry("blog"))
    assert world.revisions() == {"shop": 1, "blog": 2}
    world.remove("shop")
    assert world.revisions() == {"blog": 2}
    assert world.model.revision == 3
    world.registry.add(entry("blog"))
    assert world.revisions() == {"blog": 4}


def test_start_and_end_of_a_silence_change_the_revision_of_its_monitors() -> None:
    world = World("shop", "blog")
    silence = Silence("s1", Matcher(names=("shop",)), at(0), at(60), by="kim")
    world.registry.silences.replace_all([silence])
    assert world.revisions() == {"shop": 2, "blog": 1}
    world.clock.at = at(61)
    assert world.revisions() == {"shop": 3, "blog": 1}


def names_of(monitors: Mapping[str, MonitorRecord]) -> bytes:
    return ",".join(monitors).encode()


def test_response_is_rendered_once_for_a_revision() -> None:
    world = World("shop")
    first = world.model.response("names", names_of)
    assert world.model.response("names", names_of) is first
    world.check("shop", result(0))
    world.model.refresh()
    assert world.model.response("names", names_of) is not first


def test_responses_have_the_changes_of_checks_after_the_refresh_interval() -> None:
    world = World("shop")
    first = world.model.response("names", names_of)
    world.check("shop", result(0))
    assert world.model.response("names", names_of) is first
    world.clock.at += timedelta(seconds=2 * REFRESH_EVERY_S)
    assert world.model.response("names", names_of) is not first


def test_only_the_newest_marks_are_kept() -> None:
    world = World("shop")
    world.check("shop", *map(result, range(KEPT_MARKS + 5)))
    assert world.seconds_of_marks("shop") == list(range(5, KEPT_MARKS + 5))


@pytest.mark.parametrize(
    ("checked", "response_s"),
    [
        (result(0, Verdict.FAIL, response_time=5.0), None),
        (result(0, Verdict.INCONCLUSIVE), None),
        (result(0, Verdict.WARN, response_time=0.5), 0.5),
        (result(0), 0.25),
    ],
    ids=["failure", "inconclusive", "warning", "no response time"],
)
def test_only_a_response_has_a_response_time(checked: Result, response_s: float | None) -> None:
    world = World("shop")
    world.check("shop", checked)
    (mark,) = world.model.monitors["shop"].marks.unpacked()
    assert (mark.verdict, mark.response_s) == (checked.verdict, response_s)


def stored(*seconds: float, verdict: Verdict = Verdict.PASS) -> list[StoredResult]:
    """The newest first, as the history returns them."""
    return [
        StoredResult(at(second), verdict, State.UP, Reason.OK, 0.5)
        for second in sorted(seconds, reverse=True)
    ]


def test_stored_results_precede_those_of_this_run_without_duplicates() -> None:
    world = World("shop")
    world.check("shop", result(30.0004), result(40))
    # The history has stored the check at 30 as well, in whole milliseconds.
    world.model.fill("shop", stored(10, 20, 30.0))
    assert world.seconds_of_marks("shop") == [10, 20, 30.0004, 40]


def test_stored_failure_has_no_response_time() -> None:
    world = World("shop", "blog")
    world.model.fill("shop", stored(1))
    world.model.fill("blog", stored(1, verdict=Verdict.FAIL))
    assert [mark.response_s for mark in world.model.monitors["shop"].marks.unpacked()] == [0.5]
    assert [mark.response_s for mark in world.model.monitors["blog"].marks.unpacked()] == [None]


def test_monitor_is_filled_once() -> None:
    world = World("shop")
    world.model.fill("shop", stored(1))
    world.model.fill("shop", stored(0, 1))
    world.model.fill("removed", stored(1))
    assert world.seconds_of_marks("shop") == [1]
    assert world.revisions() == {"shop": 2}


def test_last_failures_are_kept_with_all_fields_newest_first() -> None:
    world = World("shop", "blog")
    for second in range(KEPT_FAILURES + 2):
        world.check("shop", result(second, Verdict.FAIL, status=503.0), result(second + 0.5))
    kept = world.model.monitors["shop"].failures
    assert [(each.observation.started_at - START).total_seconds() for each in kept] == [6, 5, 4, 3, 2]
    assert kept[0].observation.fields == {"status": 503.0}
    assert not world.model.monitors["blog"].failures


def test_monitor_that_is_added_again_has_no_marks() -> None:
    world = World("shop")
    world.model.fill("shop", stored(1))
    world.check("shop", result(2))
    world.remove("shop")
    world.registry.add(entry("shop"))
    world.model.refresh()
    assert world.seconds_of_marks("shop") == []
    assert not world.model.monitors["shop"].is_filled


def test_time_is_counted_for_the_state_in_which_it_passed() -> None:
    world = World("shop")
    world.clock.at = at(30)
    shop = world.registry.entries["shop"]
    shop.state = replace(shop.state, effective=State.UP)
    world.model.on_transition(
        shop, Transition("shop", State.PENDING, State.UP, at(30), at(30), Reason.OK, "")
    )
    world.clock.at = at(50)
    record = world.model.monitors["shop"]
    record.count_time(State.UP, world.clock.monotonic_s())
    assert record.seconds == {State.PENDING: 30.0, State.UP: 20.0}
