"""Each row of the table of incidents."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.health import HealthPolicy, HealthState, ParentState, advance, incident_after
from monitord.health.incidents import stable_id
from monitord.model import Incident, Reason, State, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = Incident(stable_id("web", START), "web", START, Reason.REFUSED, "nobody listens")


def after(
    incident: Incident | None, health: State, *, minutes: int = 5, window: bool = False
) -> Incident | None:
    return incident_after(
        incident,
        "web",
        health,
        since=START,
        at=START + timedelta(minutes=minutes),
        reason=Reason.REFUSED,
        detail="nobody listens",
        in_maintenance=window,
    )


def test_incident_opens_at_the_first_of_the_failures() -> None:
    assert after(None, State.DOWN) == OPEN


def test_incident_opens_after_a_window_if_the_monitor_is_still_down() -> None:
    assert after(None, State.DOWN, window=True) is None
    assert after(None, State.DOWN, window=False) == OPEN


@pytest.mark.parametrize("health", [health for health in State if health is not State.DOWN])
def test_no_other_state_opens_an_incident(health: State) -> None:
    assert after(None, health) is None


@pytest.mark.parametrize("health", [State.UP, State.DEGRADED])
@pytest.mark.parametrize("window", [False, True])
def test_recovery_closes_the_incident_also_in_a_window(health: State, *, window: bool) -> None:
    assert after(OPEN, health, window=window) == replace(OPEN, closed_at=START + timedelta(minutes=5))


@pytest.mark.parametrize("health", [state for state in State if state not in {State.UP, State.DEGRADED}])
def test_incident_stays_open_without_a_recovery(health: State) -> None:
    assert after(OPEN, health) is OPEN


def test_incident_never_closes_before_it_opened() -> None:
    closed = after(OPEN, State.UP, minutes=-5)
    assert closed is not None
    assert closed.closed_at == OPEN.opened_at


def test_incident_id_depends_on_name_and_time_only() -> None:
    elsewhere = START.astimezone(timezone(timedelta(hours=5)))
    assert stable_id("web", START) == stable_id("web", elsewhere)
    assert (
        len(
            {stable_id("web", START), stable_id("web2", START), stable_id("web", START + timedelta(days=300))}
        )
        == 3
    )


CHECKS = st.lists(
    st.tuples(st.sampled_from(Verdict), st.sampled_from(ParentState), st.booleans()), min_size=1, max_size=80
)
POLICIES = st.builds(
    HealthPolicy,
    fail_after=st.integers(1, 4),
    recover_after=st.integers(1, 4),
    degrade_after=st.integers(1, 4),
)


@given(CHECKS, POLICIES)
def test_every_incident_opens_once_and_closes_once(
    checks: list[tuple[Verdict, ParentState, bool]], policy: HealthPolicy
) -> None:
    state, incident = HealthState(), None
    events: list[tuple[str, str]] = []
    failures = most_failures = 0
    for minute, (verdict, parents, in_maintenance) in enumerate(checks):
        at = START + timedelta(minutes=minute)
        before = state
        state = advance(state, verdict, at, policy, parents).health
        failures = (
            failures + 1 if verdict is Verdict.FAIL else failures if verdict is Verdict.INCONCLUSIVE else 0
        )
        # A window may hold back what failed until the first answers come.
        most_failures = (
            max(most_failures, failures) if state.state in {State.DOWN, before.state} else failures
        )
        if verdict is Verdict.INCONCLUSIVE:
            assert state == before
        now = incident_after(
            incident,
            "web",
            state.state,
            since=state.since or at,
            at=state.since or at,
            reason=Reason.REFUSED,
            detail="",
            in_maintenance=in_maintenance,
        )
        if incident is None and now is not None:
            events.append(("opens", now.id))
            assert state.state is State.DOWN
            assert most_failures >= policy.fail_after
            assert not in_maintenance
        if now is not None and now.closed_at is not None:
            events.append(("closes", now.id))
            assert verdict in {Verdict.PASS, Verdict.WARN}
            assert now.closed_at >= now.opened_at
            now = None
        incident = now
        assert incident is None or state.state is State.DOWN
    assert [what for what, _ in events] == [("opens", "closes")[number % 2] for number in range(len(events))]
    opened = [which for what, which in events if what == "opens"]
    assert len(set(opened)) == len(opened)
    for first, second in zip(events[::2], events[1::2], strict=False):
        assert first[1] == second[1]
