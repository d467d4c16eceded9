"""Each row of the table of incidents."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from monitord.health import incident_after
from monitord.health.incidents import incident_id
from monitord.model import Health, Incident, Reason

START = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = Incident(incident_id("web", START), "web", START, Reason.REFUSED, "nobody listens")


def after(
    incident: Incident | None, health: Health, *, minutes: int = 5, window: bool = False
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


def test_going_down_opens_at_the_first_of_the_failures() -> None:
    assert after(None, Health.DOWN) == OPEN


def test_in_a_window_nothing_opens_and_what_is_still_down_after_it_does() -> None:
    assert after(None, Health.DOWN, window=True) is None
    assert after(None, Health.DOWN, window=False) == OPEN


@pytest.mark.parametrize("health", [health for health in Health if health is not Health.DOWN])
def test_nothing_else_opens_one(health: Health) -> None:
    assert after(None, health) is None


@pytest.mark.parametrize("health", [Health.UP, Health.DEGRADED])
@pytest.mark.parametrize("window", [False, True])
def test_coming_back_closes_it_in_a_window_too(health: Health, *, window: bool) -> None:
    assert after(OPEN, health, window=window) == replace(OPEN, closed_at=START + timedelta(minutes=5))


@pytest.mark.parametrize("health", [one for one in Health if one not in {Health.UP, Health.DEGRADED}])
def test_who_has_not_come_back_stays_in_it(health: Health) -> None:
    assert after(OPEN, health) is OPEN


def test_it_never_closes_before_it_opened() -> None:
    closed = after(OPEN, Health.UP, minutes=-5)
    assert closed is not None
    assert closed.closed_at == OPEN.opened_at


def test_the_id_follows_from_name_and_moment_alone() -> None:
    elsewhere = START.astimezone(timezone(timedelta(hours=5)))
    assert incident_id("web", START) == incident_id("web", elsewhere)
    assert (
        len({incident_id("web", START), incident_id("web2", START), incident_id("web", datetime.now(UTC))})
        == 3
    )
