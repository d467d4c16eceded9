"""The same results with two configurations: the alerts, incidents and notifications that differ."""

from datetime import timedelta
from pathlib import Path

import pytest

from monitord.model import Reason, State, Verdict
from monitord.notifiers import NotificationKind
from monitord.replay import LimitKind
from tests.replay.replays import EVERY_S, LENGTH_S, NOTIFIER, at, notified, replays, series, stored, tcp

SHOP = NOTIFIER + tcp("shop")


def test_equal_configurations_have_equal_outcomes(tmp_path: Path) -> None:
    found = replays(tmp_path, SHOP, SHOP, series("shop", (100, 200)))
    (alert,) = found.current.alerts
    assert (alert.monitor, alert.state, alert.reason) == ("shop", State.DOWN, Reason.REFUSED)
    assert (alert.since, alert.until) == (at(100), at(200))
    (incident,) = found.current.incidents.values()
    assert (incident.opened_at, incident.closed_at) == (at(100), at(200))
    assert notified(found.current) == [("ops", "problem", "shop"), ("ops", "recovery", "shop")]
    assert found.alert_changes == []
    assert found.incident_changes == []
    assert found.plan.limits == ()


def test_higher_fail_after_removes_a_short_alert(tmp_path: Path) -> None:
    new = NOTIFIER + tcp("shop", "fail_after = 4")
    found = replays(tmp_path, SHOP, new, series("shop", (100, 130), (400, 500)))
    assert len(found.current.alerts) == 2
    assert [alert.since for alert in found.new.alerts] == [at(400)]
    gone, later = found.alert_changes
    assert gone.before is not None
    assert gone.after is None
    assert [sent.kind for sent in gone.sent_before] == [NotificationKind.PROBLEM, NotificationKind.RECOVERY]
    assert later.after is not None
    assert later.sent_after[0].at - later.sent_before[0].at == timedelta(seconds=20)
    assert [change.after for change in found.incident_changes] == [None]
    assert [(limit.kind, limit.values) for limit in found.plan.limits] == [
        (LimitKind.RETRIES, ("fail_after",))
    ]


def test_new_dependency_makes_a_dependent_unreachable(tmp_path: Path) -> None:
    """The parent was not checked at the first failure of its dependent: its next result counts."""
    current = SHOP + tcp("gateway")
    new = NOTIFIER + tcp("shop", 'depends_on = ["gateway"]') + tcp("gateway")
    results = series("shop", (100, 200)), series("gateway", (90, 200), offset_s=6)
    found = replays(tmp_path, current, new, *results)
    assert {alert.monitor for alert in found.current.alerts} == {"shop", "gateway"}
    assert [alert.monitor for alert in found.new.alerts] == ["gateway"]
    assert {sent.monitor for sent in found.new.notifications} == {"gateway"}
    (change,) = (
        change for change in found.alert_changes if change.before and change.before.monitor == "shop"
    )
    assert change.after is None


def test_dependent_of_a_parent_that_is_up_still_alerts(tmp_path: Path) -> None:
    current = SHOP + tcp("gateway")
    new = NOTIFIER + tcp("shop", 'depends_on = ["gateway"]') + tcp("gateway")
    found = replays(tmp_path, current, new, series("shop", (100, 200)), series("gateway", offset_s=6))
    assert [alert.monitor for alert in found.new.alerts] == ["shop"]
    assert notified(found.new) == [("ops", "problem", "shop"), ("ops", "recovery", "shop")]


@pytest.mark.parametrize(
    ("next_at_s", "alerting"),
    [
        pytest.param(390, ["gateway"], id="within 5 minutes"),
        # It has already been read when `shop` fails, and is within `check_every`.
        pytest.param(590, ["shop", "gateway"], id="later"),
    ],
)
def test_next_result_of_a_parent_counts_for_5_minutes(
    tmp_path: Path, next_at_s: int, alerting: list[str]
) -> None:
    gateway = tcp("gateway", "fail_after = 1").replace(f'check_every = "{EVERY_S}s"', 'check_every = "10m"')
    new = NOTIFIER + tcp("shop", 'depends_on = ["gateway"]') + gateway
    of_gateway = [stored("gateway", 0), stored("gateway", next_at_s, Verdict.FAIL, Reason.REFUSED)]
    found = replays(tmp_path, SHOP + gateway, new, series("shop", (100, 300)), of_gateway)
    assert [alert.monitor for alert in found.new.alerts] == alerting


def test_maintenance_window_suppresses_notifications(tmp_path: Path) -> None:
    window = '[maintenance.update]\nmonitors = ["shop"]\nschedule = "00:01 UTC"\nduration = "10m"\n'
    found = replays(tmp_path, SHOP, SHOP + window, series("shop", (100, 200)))
    assert notified(found.new) == []
    assert found.new.incidents == {}
    (change,) = found.alert_changes
    assert change.after is not None, "the alert exists, but no notifier is notified of it"
    assert (len(change.sent_before), len(change.sent_after)) == (2, 0)


def test_route_moves_a_notification_to_another_notifier(tmp_path: Path) -> None:
    pager = NOTIFIER.replace("ops", "pager")
    route = '[[alerts.routes]]\nnotify = "{}"\n'
    current, new = (SHOP + pager + route.format(name) for name in ("ops", "pager"))
    found = replays(tmp_path, current, new, series("shop", (100, 200)))
    (change,) = found.alert_changes
    assert {sent.notifier for sent in change.sent_before} == {"ops"}
    assert {sent.notifier for sent in change.sent_after} == {"pager"}
    assert found.new.notifications_to("pager") == 2
    assert found.incident_changes == []


def test_escalation_and_reminders_follow_the_stored_times(tmp_path: Path) -> None:
    route = '[[alerts.routes]]\nnotify = "ops"\nafter = "5m"\nrepeat_every = "5m"\n'
    found = replays(tmp_path, SHOP, SHOP + route, series("shop", (100, 150), (200, 900)))
    assert [sent.kind.value for sent in found.new.notifications] == ["problem", "reminder", "recovery"]
    problem, reminder, _ = found.new.notifications
    assert at(500) <= problem.at <= at(503)
    assert timedelta(minutes=5) <= reminder.at - problem.at <= timedelta(minutes=5, seconds=3)


def test_changed_condition_on_the_response_time_opens_an_incident(tmp_path: Path) -> None:
    new = NOTIFIER + tcp("shop", 'up_when = ["response_time < 500ms"]')
    found = replays(tmp_path, SHOP, new, series("shop", slow=(300, 400), slow_s=0.8))
    assert found.current.alerts == []
    (change,) = found.incident_changes
    assert change.before is None
    assert change.after is not None
    assert (change.after.opened_at, change.after.reason) == (at(300), Reason.CONDITION_FAILED)
    assert found.plan.limits == ()


def test_stored_warnings_make_a_monitor_degraded(tmp_path: Path) -> None:
    """The history stores that a condition in `degraded_when` held, but not the field that it needs."""
    current = NOTIFIER + tcp("shop", "degraded_when = [\"address == '192.0.2.1'\"]")
    results = [
        stored("shop", seconds, Verdict.WARN, Reason.CONDITION_FAILED)
        if 300 <= seconds < 400
        else stored("shop", seconds)
        for seconds in range(0, LENGTH_S, EVERY_S)
    ]
    found = replays(tmp_path, current, SHOP, results)
    for outcome in (found.current, found.new):
        (alert,) = outcome.alerts
        assert (alert.state, alert.reason) == (State.DEGRADED, Reason.CONDITION_FAILED)
        assert (alert.since, alert.until) == (at(300), at(400))
    assert [limit.kind for limit in found.plan.limits] == [LimitKind.CONDITIONS]


def test_shorter_timeout_is_replayed(tmp_path: Path) -> None:
    new = NOTIFIER + tcp("shop", 'timeout = "500ms"')
    found = replays(tmp_path, SHOP, new, series("shop", slow=(300, 400), slow_s=0.8))
    assert [alert.reason for alert in found.new.alerts] == [Reason.TIMEOUT_RESPONSE]


def test_group_follows_its_members(tmp_path: Path) -> None:
    """A group needs no stored results, even if only the new configuration has it."""
    group = '[monitors.all]\ntype = "group"\nmembers = ["shop"]\n'
    found = replays(tmp_path, SHOP, SHOP + group, series("shop", (100, 200)))
    assert {alert.monitor for alert in found.new.alerts} == {"shop", "all"}
    assert found.plan.limits == ()


def test_objective_keeps_its_stored_results(tmp_path: Path) -> None:
    """Even if the new configuration has no downtime: the history of a replay is not evaluated."""
    current = NOTIFIER + tcp("shop", "slo = { target = 99.9 }")
    new = NOTIFIER + tcp("shop", "slo = { target = 99.9 }", "fail_after = 6")
    burning = series("objective:shop", (110, 400), reason=Reason.FAST_BURN)
    found = replays(tmp_path, current, new, series("shop", (100, 130)), burning)
    assert {alert.monitor for alert in found.current.alerts} == {"shop", "objective:shop"}
    (alert,) = found.new.alerts
    assert (alert.monitor, alert.reason) == ("objective:shop", Reason.FAST_BURN)
    assert (alert.since, alert.until) == (at(110), at(400))
    assert [(limit.kind, limit.monitor) for limit in found.plan.limits] == [
        (LimitKind.RETRIES, "shop"),
        (LimitKind.OBJECTIVE, "objective:shop"),
    ]


def test_new_objective_has_no_results(tmp_path: Path) -> None:
    new = NOTIFIER + tcp("shop", "slo = { target = 99.9 }")
    found = replays(tmp_path, SHOP, new, series("shop", (100, 200)))
    assert {alert.monitor for alert in found.new.alerts} == {"shop"}
    assert [(limit.kind, limit.monitor) for limit in found.plan.limits] == [
        (LimitKind.NO_RESULTS, "objective:shop")
    ]


def test_other_target_of_an_objective_is_a_limit(tmp_path: Path) -> None:
    current, new = (NOTIFIER + tcp("shop", f"slo = {{ target = {target} }}") for target in (99, 99.9))
    found = replays(tmp_path, current, new, series("shop"), series("objective:shop"))
    assert [(limit.kind, limit.monitor) for limit in found.plan.limits] == [
        (LimitKind.TARGET, "objective:shop"),
        (LimitKind.OBJECTIVE, "objective:shop"),
    ]


def test_removed_monitor_has_no_alert(tmp_path: Path) -> None:
    found = replays(tmp_path, SHOP, NOTIFIER + tcp("other"), series("shop", (100, 200)))
    assert found.new.alerts == []
    assert [(limit.kind, limit.monitor) for limit in found.plan.limits] == [(LimitKind.NO_RESULTS, "other")]


def test_renamed_monitor_continues_with_its_results(tmp_path: Path) -> None:
    new = NOTIFIER + tcp("store", 'renamed_from = "shop"')
    found = replays(tmp_path, SHOP, new, series("shop", (100, 200)))
    assert [alert.monitor for alert in found.new.alerts] == ["store"]
    assert found.alert_changes == []
    assert found.incident_changes == []


def test_monitor_of_another_type_has_no_results(tmp_path: Path) -> None:
    new = NOTIFIER + '[monitors.shop]\ntype = "http"\nurl = "http://127.0.0.1:1/"\n'
    found = replays(tmp_path, SHOP, new, series("shop", (100, 200)))
    assert found.new.alerts == []
    assert [limit.kind for limit in found.plan.limits] == [LimitKind.TYPE]


def test_settings_without_effect_are_limits(tmp_path: Path) -> None:
    new = SHOP.replace("127.0.0.1:1", "127.0.0.1:2").replace('check_every = "10s"', 'check_every = "20s"')
    found = replays(tmp_path, SHOP, new, series("shop", (100, 200)))
    assert [(limit.kind, limit.values) for limit in found.plan.limits] == [
        (LimitKind.TARGET, ()),
        (LimitKind.SCHEDULE, ("check_every",)),
    ]
    assert found.alert_changes == []


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.PROBER_ISOLATED])
def test_isolation_of_this_host_is_decided_again(tmp_path: Path, reason: Reason) -> None:
    """Failures of all monitors at once are inconclusive, whether or not they were stored as such."""
    names = [f"m{number}" for number in range(6)]
    # Not on this host: a connection that is refused here shows that the target responded.
    monitors = "".join(tcp(name).replace("127.0.0.1", "192.0.2.1") for name in names)
    results = [series(name, (100, 200), reason=reason) for name in names]
    if reason.is_inconclusive:
        results = [
            [
                result._replace(verdict=Verdict.INCONCLUSIVE) if result.verdict is Verdict.FAIL else result
                for result in of_monitor
            ]
            for of_monitor in results
        ]
    without = NOTIFIER + "".join(tcp(name).replace("127.0.0.1", "192.0.2.1") for name in names[:4])
    found = replays(tmp_path, NOTIFIER + monitors, without, *results)
    assert [alert.monitor for alert in found.current.alerts] == [""]
    assert [kind for _, kind, _ in notified(found.current)] == ["isolated", "reconnected"]
    assert found.current.incidents == {}
    assert {alert.monitor for alert in found.new.alerts} == set(names[:4]), "too few monitors to decide"


def test_flapping_is_detected(tmp_path: Path) -> None:
    failures = [(start, start + 20) for start in range(100, 900, 40)]
    new = NOTIFIER + tcp("shop", "flapping = false")
    found = replays(tmp_path, SHOP, new, series("shop", *failures))
    assert "flapping" in {kind for _, kind, _ in notified(found.current)}
    assert "flapping" not in {kind for _, kind, _ in notified(found.new)}


def test_alert_that_is_open_at_the_end_has_no_end(tmp_path: Path) -> None:
    found = replays(tmp_path, SHOP, SHOP, series("shop", (1000, 1200)))
    assert [(alert.since, alert.until) for alert in found.current.alerts] == [(at(1000), None)]


def test_no_results_lead_to_no_alerts(tmp_path: Path) -> None:
    found = replays(tmp_path, SHOP, SHOP)
    assert found.current.alerts == found.new.alerts == []
    assert [limit.kind for limit in found.plan.limits] == [LimitKind.NO_RESULTS]
