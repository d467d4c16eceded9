"""Alerts after a node was alone. `evaluate` decides what the merged alert leads to."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitord.alerts.lifecycle import (
    Alert,
    AlertInput,
    NotifierProgress,
    alert_from_record,
    alert_record,
    evaluate,
)
from monitord.alerts.routes import AlertRoute, AlertSettings
from monitord.cluster.merging import merged
from monitord.model import Reason, State
from monitord.notifiers import NotificationKind, NotifierSettings

BEGAN = datetime(2026, 3, 10, 12, tzinfo=UTC)


def progress(count: int, state: State | None = State.DOWN) -> NotifierProgress:
    return NotifierProgress(count, BEGAN + timedelta(minutes=count), BEGAN, state)


def record(alert_id: str = "a", **notifiers: NotifierProgress) -> Mapping[str, Any]:
    return alert_record(Alert(alert_id, "shop", "shop", BEGAN, notifiers))


ONE = record(mail=progress(1))


@pytest.mark.parametrize(
    ("cluster", "local", "expected"),
    [
        pytest.param(None, None, None, id="no alert"),
        pytest.param(None, ONE, ONE, id="only at the node"),
        pytest.param(ONE, ONE, ONE, id="the same"),
        pytest.param(
            record(mail=progress(1)), record(mail=progress(3)), record(mail=progress(3)), id="more here"
        ),
        pytest.param(
            record(mail=progress(4)), record(mail=progress(3)), record(mail=progress(4)), id="more there"
        ),
        pytest.param(
            record(mail=progress(2, State.DEGRADED)),
            record(mail=progress(2)),
            record(mail=progress(2, State.DEGRADED)),
            id="as many",
        ),
        pytest.param(
            record(mail=progress(1), chat=progress(5)),
            record(mail=progress(2), sms=progress(1)),
            record(mail=progress(2), chat=progress(5), sms=progress(1)),
            id="per notifier",
        ),
        pytest.param(
            record("a", mail=progress(1)),
            record("b", mail=progress(2)),
            record("a", mail=progress(2)),
            id="id",
        ),
        pytest.param(
            record(mail=progress(1), chat=progress(2, None)),
            None,
            record(mail=replace(progress(1, None), count=2), chat=progress(2, None)),
            id="ended at the node",
        ),
    ],
)
def test_merged_alert(
    cluster: Mapping[str, Any] | None, local: Mapping[str, Any] | None, expected: Mapping[str, Any] | None
) -> None:
    assert merged(cluster, local) == expected


@pytest.mark.parametrize(
    "local", [ONE, record(mail=progress(1)), record("b")], ids=["same", "equal", "empty"]
)
def test_record_that_does_not_change_is_the_same_object(local: Mapping[str, Any]) -> None:
    assert merged(ONE, local) is ONE


SETTINGS = AlertSettings((NotifierSettings("mail", "email", None),), (AlertRoute(("mail",)),))


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.UP, []), (State.DOWN, [(NotificationKind.PROBLEM, 3)])],
    ids=["up", "still down"],
)
def test_alert_that_ended_at_the_node_continues_with_new_numbers(
    state: State, expected: list[tuple[NotificationKind, int]]
) -> None:
    """The node has sent a recovery as number 2."""
    alert = merged(ONE, None)
    assert alert is not None
    current = AlertInput("shop", "http", (), state, BEGAN, Reason.REFUSED, "")
    evaluation = evaluate(alert_from_record(alert), current, SETTINGS, BEGAN + timedelta(hours=1))
    assert [(item.kind, item.number) for item in evaluation.notifications] == expected


def test_recovery_after_a_merge_is_sent_once() -> None:
    alert = merged(record(mail=progress(1)), record(mail=progress(3)))
    assert alert is not None
    current = AlertInput("shop", "http", (), State.UP, BEGAN, Reason.OK, "")
    evaluation = evaluate(alert_from_record(alert), current, SETTINGS, BEGAN + timedelta(hours=1))
    assert [(item.kind, item.number) for item in evaluation.notifications] == [(NotificationKind.RECOVERY, 4)]
    assert evaluation.alert is None


def test_damaged_record_is_an_error() -> None:
    with pytest.raises(KeyError):
        merged({"id": "a"}, ONE)
