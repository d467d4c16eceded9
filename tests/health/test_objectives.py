"""Error budgets and burn rates of service level objectives, as tables."""

import math

import pytest

from monitord.health import CoveredTime, Objective
from monitord.health.objectives import (
    BURN_ALERTS,
    FAST,
    SLOW,
    BurnAlert,
    ErrorBudget,
    burn_rate,
    burn_windows_s,
    error_budget,
    objective_status,
)

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
USUAL = Objective(99.9, 30 * DAY_S)
NOTHING = CoveredTime()


@pytest.mark.parametrize(
    ("target", "covered_s", "bad_s", "allowed_s", "left_s", "left_ratio"),
    [
        pytest.param(99.9, 30 * DAY_S, 0, 2592, 2592, 1.0, id="unused"),
        pytest.param(99.9, 30 * DAY_S, 648, 2592, 1944, 0.75, id="a quarter is used"),
        pytest.param(99.9, 30 * DAY_S, 2592, 2592, 0, 0.0, id="used up"),
        pytest.param(99.9, 30 * DAY_S, 3888, 2592, -1296, -0.5, id="exceeded"),
        pytest.param(99.0, 10_000, 50, 100, 50, 0.5, id="only the covered time counts"),
        pytest.param(99.9, 0, 0, 0, 0, 1.0, id="nothing is covered"),
    ],
)
def test_error_budget_is_the_bad_time_that_the_target_allows(
    target: float, covered_s: float, bad_s: float, allowed_s: float, left_s: float, left_ratio: float
) -> None:
    budget = error_budget(Objective(target, 30 * DAY_S), CoveredTime(covered_s, bad_s))
    assert (budget.allowed_s, budget.left_s, budget.left_ratio) == pytest.approx(
        (allowed_s, left_s, left_ratio), abs=1e-6
    )


@pytest.mark.parametrize(
    ("target", "covered_s", "bad_s", "rate"),
    [
        pytest.param(99.9, HOUR_S, 0, 0.0, id="no failure"),
        pytest.param(99.9, HOUR_S, 3.6, 1.0, id="exactly the budget"),
        pytest.param(99.9, HOUR_S, HOUR_S, 1000.0, id="total outage"),
        pytest.param(95.0, HOUR_S, HOUR_S, 20.0, id="total outage with a low target"),
        pytest.param(99.0, HOUR_S / 2, 36, 2.0, id="half of the time is covered"),
        pytest.param(99.9, 0, 0, None, id="nothing is covered"),
    ],
)
def test_burn_rate_is_relative_to_the_bad_time_that_the_target_allows(
    target: float, covered_s: float, bad_s: float, rate: float | None
) -> None:
    found = burn_rate(Objective(target, 30 * DAY_S), CoveredTime(covered_s, bad_s))
    assert found == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    ("days", "windows_s"),
    [
        (30, (HOUR_S, 5 * MINUTE_S, 6 * HOUR_S, 30 * MINUTE_S)),
        (90, (3 * HOUR_S, 15 * MINUTE_S, 18 * HOUR_S, 90 * MINUTE_S)),
        (7, (14 * MINUTE_S, 70, 84 * MINUTE_S, 7 * MINUTE_S)),
    ],
)
def test_windows_of_the_alerts_are_those_of_the_sre_workbook_scaled_to_the_window(
    days: int, windows_s: tuple[float, ...]
) -> None:
    assert burn_windows_s(Objective(99.9, days * DAY_S)) == pytest.approx(windows_s)


@pytest.mark.parametrize(("alert", "share"), [(FAST, 0.02), (SLOW, 0.05)])
@pytest.mark.parametrize("days", [7, 30, 365])
def test_alert_needs_the_same_share_of_the_budget_for_every_window(
    alert: BurnAlert, share: float, days: int
) -> None:
    """2 % and 5 %, as in the SRE workbook."""
    long_s, _ = alert.windows_s(days * DAY_S)
    assert alert.burn_rate * long_s / (days * DAY_S) == pytest.approx(share)


def bad(seconds: float, of_s: float) -> CoveredTime:
    return CoveredTime(of_s, seconds)


@pytest.mark.parametrize(
    ("fast", "fast_short", "slow", "slow_short", "alert"),
    [
        pytest.param(0.0, 0.0, 0.0, 0.0, None, id="no failure"),
        pytest.param(14.4, 14.4, 3.0, 14.4, FAST, id="both fast windows reach the limit"),
        pytest.param(14.4, 14.3, 3.0, 5.0, None, id="it ended: only the long window burns"),
        pytest.param(14.3, 900.0, 3.0, 5.0, None, id="too short: only the short window burns"),
        pytest.param(10.0, 10.0, 6.0, 6.0, SLOW, id="both slow windows reach the limit"),
        pytest.param(10.0, 10.0, 6.0, 5.9, None, id="it ended: only the long slow window burns"),
        pytest.param(20.0, 20.0, 20.0, 20.0, FAST, id="the most severe of both"),
        pytest.param(20.0, None, 20.0, 20.0, SLOW, id="nothing is covered in a short window"),
        pytest.param(None, None, None, None, None, id="nothing is covered"),
    ],
)
def test_alert_burns_while_both_of_its_windows_do(
    fast: float | None,
    fast_short: float | None,
    slow: float | None,
    slow_short: float | None,
    alert: BurnAlert | None,
) -> None:
    recent = [
        # A little more than the limit, which is not an exact number.
        NOTHING if rate is None else bad(rate * USUAL.allowed_ratio * seconds * (1 + 1e-9), seconds)
        for rate, seconds in zip((fast, fast_short, slow, slow_short), burn_windows_s(USUAL), strict=True)
    ]
    status = objective_status(USUAL, CoveredTime(30 * DAY_S, 0), recent)
    assert (None if status.burning is None else status.burning.alert) == alert
    assert [burn.alert for burn in status.burns] == list(BURN_ALERTS)


@pytest.mark.parametrize(
    ("bad_s", "covered_s", "alert"),
    [
        pytest.param(5, 5, None, id="down since it was added, for five seconds"),
        pytest.param(51, 60, None, id="less than 2 % of the budget"),
        pytest.param(52, 60, FAST, id="2 % of the budget"),
        pytest.param(52, 50 * MINUTE_S, FAST, id="after a maintenance window"),
        pytest.param(104, 2 * HOUR_S, FAST, id="two monitors"),
    ],
)
def test_alert_needs_its_share_of_the_budget_where_little_is_covered(
    bad_s: float, covered_s: float, alert: BurnAlert | None
) -> None:
    seen = bad(bad_s, covered_s)
    status = objective_status(USUAL, seen, [seen] * len(burn_windows_s(USUAL)))
    assert (None if status.burning is None else status.burning.alert) == alert


@pytest.mark.parametrize(
    ("left_s", "bad_s", "in_s"),
    [
        pytest.param(2592, 51.84, 50 * HOUR_S, id="2 % in an hour"),
        pytest.param(1800, HOUR_S, 1800, id="total outage"),
        pytest.param(-5, 60, 0, id="used up"),
        pytest.param(100, 0, math.inf, id="no failure"),
    ],
)
def test_time_until_the_budget_is_used_up_follows_from_the_long_window(
    left_s: float, bad_s: float, in_s: float
) -> None:
    recent = [bad(bad_s, HOUR_S), NOTHING, NOTHING, NOTHING]
    burn = objective_status(USUAL, CoveredTime(), recent).burns[0]
    assert burn.exhausted_in_s(ErrorBudget(left_s, 0)) == pytest.approx(in_s)


def test_times_of_monitors_are_added() -> None:
    total = CoveredTime(100, 1) + CoveredTime(300, 3)
    assert total == CoveredTime(400, 4)
    assert total.good_ratio == pytest.approx(0.99)
    assert NOTHING.good_ratio is None
