"""The judge of the chaos runs finds each fault in events that a test has written, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from bench.cluster_judge import Judgement, Outage, Received, judge, received
from monitord.notifiers.notification import NotificationKind

BEGAN_AT = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ALL = frozenset({"fra", "hel", "nbg"})


def at(seconds: float) -> datetime:
    return BEGAN_AT + timedelta(seconds=seconds)


def outage(
    began_s: float = 0.0,
    ended_s: float | None = 60.0,
    *,
    locations: frozenset[str] = ALL,
    is_due: bool = True,
) -> Outage:
    return Outage("shop", locations, at(began_s), None if ended_s is None else at(ended_s), is_due)


def problem(
    at_s: float = 8.0, *, since_s: float = 3.0, alert: str = "a", number: str = "p", key: str = ""
) -> Received:
    return Received(
        at(at_s), key or number, number, NotificationKind.PROBLEM, alert, "shop", at(since_s), None
    )


def recovery(
    at_s: float = 65.0,
    *,
    since_s: float = 3.0,
    until_s: float = 62.0,
    alert: str = "a",
    number: str = "r",
) -> Received:
    return Received(
        at(at_s), number, number, NotificationKind.RECOVERY, alert, "shop", at(since_s), at(until_s)
    )


def faults(judgement: Judgement) -> list[str]:
    """The columns that are not empty."""
    found = ("missed", "false", "unclosed", "duplicates")
    return [name for name in found for _ in getattr(judgement, name)]


def test_nothing_is_wrong_with_an_alert_that_is_opened_and_closed() -> None:
    judgement = judge([outage()], [problem(), recovery()], needed=2)
    assert judgement.is_faultless
    assert (judgement.outages, judgement.confirmed, judgement.notified) == (1, 1, 1)
    assert judgement.latencies_s == (8.0,)


@pytest.mark.parametrize(
    ("outages", "notifications", "found"),
    [
        pytest.param([outage()], [], ["missed"], id="nothing was notified"),
        pytest.param(
            [outage(), outage(100.0, 160.0)],
            [problem(), recovery()],
            ["missed"],
            id="the second was not notified",
        ),
        pytest.param([outage(is_due=False)], [], [], id="a short outage need not be notified"),
        pytest.param(
            [outage(is_due=False)], [problem()], ["unclosed"], id="a short outage that was notified"
        ),
        pytest.param([outage()], [problem()], ["unclosed"], id="the alert was not closed"),
        pytest.param([outage(ended_s=None)], [problem()], ["unclosed"], id="the outage lasts"),
        pytest.param([], [problem(), recovery()], ["false"], id="there was no outage"),
        pytest.param(
            [outage(locations=frozenset({"fra"}))],
            [problem(), recovery()],
            ["false"],
            id="one location is no majority",
        ),
        pytest.param([outage(locations=frozenset({"fra"}))], [], [], id="one location, not notified"),
        pytest.param(
            [outage(locations=frozenset({"fra", "hel"}))], [problem(), recovery()], [], id="two locations"
        ),
        pytest.param(
            [outage(100.0, 160.0, is_due=False)], [problem(), recovery()], ["false"], id="before the outage"
        ),
        pytest.param([outage(ended_s=200.0)], [problem(), recovery()], ["false"], id="closed too early"),
        pytest.param([outage(ended_s=None)], [problem(), recovery()], ["false"], id="closed while it lasts"),
        pytest.param([outage()], [recovery()], ["missed", "false"], id="closed without having been opened"),
        pytest.param(
            [outage()], [recovery(9.0), problem(10.0)], ["missed", "false"], id="closed before it was opened"
        ),
        pytest.param(
            [outage()],
            [problem(), problem(alert="b", number="q"), recovery(), recovery(alert="b", number="s")],
            ["duplicates"],
            id="two alerts about an outage",
        ),
        pytest.param(
            [outage()], [problem(), problem(number="q"), recovery()], ["duplicates"], id="opened twice"
        ),
        pytest.param(
            [outage()], [problem(), recovery(), recovery(number="s")], ["duplicates"], id="closed twice"
        ),
    ],
)
def test_each_fault_is_found_once(
    outages: list[Outage], notifications: list[Received], found: list[str]
) -> None:
    judgement = judge(outages, notifications, needed=2)
    assert faults(judgement) == found
    assert judgement.is_faultless is not bool(found)


def test_repeated_notification_under_its_key_is_only_counted() -> None:
    judgement = judge([outage()], [problem(), problem(9.0), recovery(), recovery(66.0)], needed=2)
    assert judgement.is_faultless
    assert (judgement.repeated, judgement.regrouped) == (2, 0)
    assert judgement.latencies_s == (8.0,)


def test_notification_in_another_message_is_only_counted() -> None:
    judgement = judge([outage()], [problem(), problem(9.0, key="other"), recovery()], needed=2)
    assert judgement.is_faultless
    assert (judgement.repeated, judgement.regrouped) == (0, 1)


def test_quorum_of_one_confirms_what_one_location_sees() -> None:
    seen = outage(locations=frozenset({"fra"}))
    assert judge([seen], [problem(), recovery()], needed=1).is_faultless


def test_isolation_is_counted_and_is_about_no_monitor() -> None:
    isolated = Received(at(5), "i", "i", NotificationKind.ISOLATED, "x", "", at(4), None)
    judgement = judge([], [isolated], needed=2)
    assert judgement.is_faultless
    assert judgement.isolations == 1


def test_message_of_a_webhook_is_read() -> None:
    common = {"alert": "a", "monitor": "shop", "started_at": "2026-05-04T12:00:03+00:00", "duration_s": 59.0}
    message = {
        "notifications": [{"id": "p", "kind": "problem", **common}, {"id": "r", "kind": "recovery", **common}]
    }
    assert list(received(at(65), "k", message)) == [
        Received(at(65), "k", "p", NotificationKind.PROBLEM, "a", "shop", at(3), None),
        Received(at(65), "k", "r", NotificationKind.RECOVERY, "a", "shop", at(3), at(62)),
    ]
