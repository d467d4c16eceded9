"""Links that act on an alert: their tokens, their key, and the record of used links."""

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.alerts import ActionLink, ActionLinks, LinkAction
from monitord.alerts.action_links import (
    CLOCK_MARGIN,
    KEY_NAME,
    LIFETIME,
    USED_PREFIX,
    has_links,
    masked_links,
    read_or_create_key,
)
from monitord.errors import InvalidValueError
from monitord.model import State
from monitord.notifiers import Notification, NotificationContext, NotificationKind, notification_of
from tests.alerts.fakes import T0, notification
from tests.alerts.test_outbox import Records
from tests.fakes import FakeClock

ALERT = "00112233445566ff"
URL = "https://monitor.example.org/base"


class FixedClock(FakeClock):
    """Shows T0, changed by `ahead_s`."""

    def monotonic_s(self) -> float:
        return 0.0

    def now(self) -> Any:
        return T0 + timedelta(seconds=self.ahead_s)


def about(state: State = State.DOWN, **changes: Any) -> Notification:
    context = NotificationContext(links_expire_at=T0 + LIFETIME)
    return notification(alert=ALERT, state=state, context=context, **changes)


async def loaded(
    path: Path | None, clock: FakeClock | None = None, records: Records | None = None
) -> ActionLinks:
    records = Records() if records is None else records
    links = ActionLinks(path, clock or FixedClock(), records.save, dict(records))
    await links.load()
    return links


def tokens_of(links: ActionLinks, about: Notification) -> tuple[str, str]:
    """The tokens of the link that acknowledges and of the link that silences."""
    context = links.with_links(about, URL).context
    prefix = f"{URL}/action/"
    assert context.acknowledge_url.startswith(prefix)
    assert context.silence_url.startswith(prefix)
    return context.acknowledge_url.removeprefix(prefix), context.silence_url.removeprefix(prefix)


def verified(links: ActionLinks, token: str) -> ActionLink:
    link = links.verify(token, ["other", "ops"])
    assert link is not None
    return link


async def test_link_names_action_alert_notifier_and_expiry(tmp_path: Path) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    acknowledge, silence = (verified(links, token) for token in tokens_of(links, about()))
    assert (acknowledge.action, silence.action) == (LinkAction.ACKNOWLEDGE, LinkAction.SILENCE)
    for link in (acknowledge, silence):
        assert (link.alert, link.notifier, link.expires_at) == (ALERT, "ops", T0 + LIFETIME)


async def test_links_of_a_notification_are_the_same_after_a_restart(tmp_path: Path) -> None:
    first = tokens_of(await loaded(tmp_path / KEY_NAME), about())
    stored = notification_of(about().as_json())
    assert tokens_of(await loaded(tmp_path / KEY_NAME), stored) == first


async def test_links_of_another_alert_notifier_or_time_differ(tmp_path: Path) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    later = NotificationContext(links_expire_at=T0 + LIFETIME + timedelta(seconds=1))
    notifications = [
        about(),
        replace(about(), alert="0" * 16),
        about(notifier="other"),
        replace(about(), context=later),
    ]
    tokens = [token for made in notifications for token in tokens_of(links, made)]
    assert len(set(tokens)) == len(tokens) == 8


async def test_token_with_any_changed_bit_is_invalid(tmp_path: Path) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    token, _ = tokens_of(links, about())
    data = base64.urlsafe_b64decode(token)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        forged = base64.urlsafe_b64encode(changed).decode()
        assert links.verify(forged, ["ops"]) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: " " + token[1:],
        lambda token: "é" * 44,
        lambda token: "A" * 44,
    ],
    ids=["empty", "shorter", "longer", "padded", "newline", "space", "not-ascii", "zeros"],
)
async def test_token_of_another_form_is_invalid(tmp_path: Path, change: Callable[[str], str]) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    assert links.verify(change(tokens_of(links, about())[0]), ["ops"]) is None


async def test_link_of_a_notifier_without_links_is_invalid(tmp_path: Path) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    token, _ = tokens_of(links, about())
    assert links.verify(token, []) is None
    assert links.verify(token, ["other"]) is None


async def test_link_is_invalid_with_another_key(tmp_path: Path) -> None:
    token, _ = tokens_of(await loaded(tmp_path / KEY_NAME), about())
    (tmp_path / KEY_NAME).unlink()
    assert (await loaded(tmp_path / KEY_NAME)).verify(token, ["ops"]) is None


async def test_links_without_a_state_directory_end_with_the_process() -> None:
    links = await loaded(None)
    token, _ = tokens_of(links, about())
    assert links.verify(token, ["ops"]) is not None
    assert (await loaded(None)).verify(token, ["ops"]) is None


async def test_monitor_without_incident_has_no_link_that_acknowledges(tmp_path: Path) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    context = links.with_links(about(State.DEGRADED), URL).context
    assert not context.acknowledge_url
    assert context.silence_url


@pytest.mark.parametrize("kind", NotificationKind, ids=lambda kind: kind.value)
def test_only_notifications_about_a_present_problem_have_links(kind: NotificationKind) -> None:
    expected = {"problem", "update", "reminder", "flapping", "flapping_end"}
    monitor = "" if kind.value in {"isolated", "reconnected", "test"} else "web"
    assert has_links(notification(kind=kind, monitor=monitor)) is (kind.value in expected)


@pytest.mark.parametrize(
    ("ahead", "is_expired"),
    [
        (timedelta(), False),
        (LIFETIME - timedelta(seconds=1), False),
        (LIFETIME, True),
        (LIFETIME + timedelta(days=400), True),
        (-CLOCK_MARGIN, False),
        (-CLOCK_MARGIN - timedelta(seconds=1), True),
    ],
    ids=["new", "last-second", "expired", "long-ago", "clock-behind", "clock-was-far-ahead"],
)
async def test_link_expires(tmp_path: Path, ahead: timedelta, *, is_expired: bool) -> None:
    clock = FixedClock()
    links = await loaded(tmp_path / KEY_NAME, clock)
    link = verified(links, tokens_of(links, about())[0])
    clock.ahead_s = ahead.total_seconds()
    assert links.is_expired(link) is is_expired


async def test_used_link_stays_used_after_a_restart_and_a_change_of_the_clock(tmp_path: Path) -> None:
    clock, records = FixedClock(), Records()
    links = await loaded(tmp_path / KEY_NAME, clock, records)
    used, other = (verified(links, token) for token in tokens_of(links, about()))
    links.mark_used(used, "kim")
    clock.ahead_s = (LIFETIME + CLOCK_MARGIN).total_seconds()
    links.mark_used(replace(other, expires_at=other.expires_at + LIFETIME), "sam")
    clock.ahead_s = 0.0
    for present in (links, await loaded(tmp_path / KEY_NAME, clock, records)):
        use = present.use_of(used)
        assert use is not None
        assert (use.by, use.at) == ("kim", T0)


async def test_use_of_a_link_is_discarded_long_after_its_expiry(tmp_path: Path) -> None:
    clock, records = FixedClock(), Records()
    links = await loaded(tmp_path / KEY_NAME, clock, records)
    used, other = (verified(links, token) for token in tokens_of(links, about()))
    links.mark_used(used, "kim")
    clock.ahead_s = (LIFETIME + CLOCK_MARGIN).total_seconds() + 1
    links.mark_used(other, "sam")
    assert list(records) == [USED_PREFIX + other.id]


@pytest.mark.parametrize("record", [{}, {"by": "kim", "at": 5, "expires_at": "x"}], ids=["empty", "types"])
async def test_link_whose_use_is_stored_unreadably_counts_as_used(
    tmp_path: Path, record: Mapping[str, Any]
) -> None:
    links = await loaded(tmp_path / KEY_NAME)
    link = verified(links, tokens_of(links, about())[0])
    records = Records()
    records[USED_PREFIX + link.id] = record
    assert (await loaded(tmp_path / KEY_NAME, records=records)).use_of(link) is not None


# The key


def test_key_is_created_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / KEY_NAME
    key = read_or_create_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_create_key(path) == key
    assert [file.name for file in tmp_path.iterdir()] == [KEY_NAME]


def test_keys_are_random(tmp_path: Path) -> None:
    assert read_or_create_key(tmp_path / "one") != read_or_create_key(tmp_path / "two")


def damage_size(path: Path) -> None:
    path.write_bytes(b"x" * 31)
    path.chmod(0o600)


def damage_empty(path: Path) -> None:
    path.touch(0o600)


def damage_longer(path: Path) -> None:
    path.write_bytes(b"x" * 33)
    path.chmod(0o600)


def damage_mode(path: Path) -> None:
    path.write_bytes(b"x" * 32)
    path.chmod(0o640)


def damage_fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_size, "31 instead of 32 bytes"),
        (damage_empty, "0 instead of 32 bytes"),
        (damage_longer, "more instead of 32 bytes"),
        (damage_mode, "other users can access it"),
        (damage_fifo, "not a regular file"),
    ],
    ids=["shorter", "empty", "longer", "mode", "fifo"],
)
async def test_damaged_key_is_reported_and_not_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], problem: str
) -> None:
    path = tmp_path / KEY_NAME
    damage(path)
    with pytest.raises(InvalidValueError, match=problem):
        read_or_create_key(path)
    links = await loaded(path)
    await links.load()
    assert links.with_links(about(), URL) == about()
    assert links.verify("A" * 44, ["ops"]) is None
    (message,) = caplog.messages
    assert str(path) in message
    assert problem in message
    assert "restart monitord" in message


async def test_missing_directory_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    links = await loaded(tmp_path / "missing" / KEY_NAME)
    assert links.with_links(about(), URL) == about()
    assert "No such file or directory" in caplog.text


async def test_link_to_another_file_is_not_a_key(tmp_path: Path) -> None:
    target = tmp_path / "target"
    read_or_create_key(target)
    (tmp_path / KEY_NAME).symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        read_or_create_key(tmp_path / KEY_NAME)


async def test_concurrent_loads_create_one_key(tmp_path: Path) -> None:
    links = ActionLinks(tmp_path / KEY_NAME, FixedClock(), Records().save, {})
    await asyncio.gather(*(links.load() for _ in range(5)))
    assert tokens_of(links, about()) == tokens_of(await loaded(tmp_path / KEY_NAME), about())


async def test_adopted_key_replaces_the_own_key_and_is_kept(tmp_path: Path) -> None:
    first, second = await loaded(tmp_path / "first"), await loaded(tmp_path / "second")
    assert tokens_of(first, about()) != tokens_of(second, about())
    for links in (first, second):
        await links.adopt(bytes(range(32)))
    assert tokens_of(first, about()) == tokens_of(second, about())
    # After a restart, before the database of the cluster responds.
    assert tokens_of(await loaded(tmp_path / "first"), about()) == tokens_of(second, about())
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o600


# Texts

TOKEN = "AQ0123456789_-" + "x" * 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"see {URL}/action/{TOKEN} now", f"see {URL}/action/*** now"),
        (f"{URL}/action/{TOKEN[:20]}", f"{URL}/action/***"),
        (f"https:\\/\\/a\\/action\\/{TOKEN}", "https:\\/\\/a\\/action\\/***"),
        (f"a%2Faction%2F{TOKEN}&b", "a%2Faction%2F***&b"),
        (f"a%252Faction%252f{TOKEN}", "a%252Faction%252f***"),
        (f"a&#x2F;action&#x2F;{TOKEN}", "a&#x2F;action&#x2F;***"),
        (f"/action/{TOKEN} /action/{TOKEN}", "/action/*** /action/***"),
        ("POST /action/add: no such action/", "POST /action/add: no such action/"),
        ("transaction/0123", "transaction/0123"),
    ],
    ids=["url", "truncated", "json", "url-encoded", "twice-encoded", "html", "two", "short", "other-word"],
)
def test_tokens_in_texts_are_masked(text: str, expected: str) -> None:
    assert masked_links(text) == expected
