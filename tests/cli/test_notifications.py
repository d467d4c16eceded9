"""The commands about who is told: notifiers, notifications, test-notifier."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.alerts import AlertSettings, Route
from monitord.notifiers import DeliveryError, Message, NotifierSettings
from tests.alerts.made import FakeNotifier, fake_type, refuse
from tests.cli.test_acting import fall
from tests.cli.there import there
from tests.status.api.test_alerts import delivered

Capture = pytest.CaptureFixture[str]
OPS = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=0.0),))


@pytest.fixture(autouse=True)
def with_the_fake_type() -> Iterator[None]:
    with fake_type():
        yield


async def test_without_notifiers_that_is_said(tmp_path: Path, capsys: Capture) -> None:
    async with there(tmp_path) as it:
        assert await it.ctl("notifiers") == 0
        assert "nobody is told; add [notifiers.NAME]" in capsys.readouterr().out
        assert await it.ctl("notifications") == 0
        assert capsys.readouterr().out == "nobody was told anything\n"
        assert await it.ctl("test-notifier", "ops") == 1
        assert "no notifier is called ops; there is none; see monitord.toml(5)" in capsys.readouterr().err


async def test_what_was_told_is_a_line_each(tmp_path: Path, capsys: Capture) -> None:
    async with there(tmp_path) as it:
        it.made.alerts.apply(OPS)
        await fall(it)
        await delivered(it.made)
        capsys.readouterr()
        assert await it.ctl("notifications") == 0
        head, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["HAPPENED", "(UTC)", "NOTIFIER", "STATUS", "NOTIFICATION", "RESPONSE"]
        assert line.split()[-5:] == ["ops", "sent", "DOWN:", "bad", "taken"]
        assert await it.ctl("notifications", "good", "-n", "3") == 0
        assert capsys.readouterr().out == "nobody was told anything\n"
        assert await it.ctl("notifications", "bad", "--json") == 0
        assert json.loads(capsys.readouterr().out)["notifications"][0]["monitor"] == "bad"
        assert await it.ctl("notifiers") == 0
        head, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["NOTIFIER", "TYPE", "WAITING", "SENT", "LAST", "SENT", "(UTC)", "STATE"]
        assert line.split()[:4] == ["ops", "fake", "0", "1"]
        assert line.endswith("works")


async def test_notification_that_the_fallback_delivered_shows_both_notifiers(
    tmp_path: Path, capsys: Capture
) -> None:
    def reject(_: Message) -> None:
        raise DeliveryError("413 too large", is_rejected=True)

    ops = NotifierSettings("ops", "fake", None, group_wait_s=0.0, fallback="backup")
    backup = NotifierSettings("backup", "fake", None, group_wait_s=0.0)
    async with there(tmp_path) as it:
        it.made.alerts.apply(AlertSettings((ops, backup), (Route(("ops",)),)))
        FakeNotifier.made[0].act = reject
        sent = asyncio.Event()
        FakeNotifier.made[1].act = lambda _: sent.set()
        await fall(it)
        await sent.wait()
        capsys.readouterr()
        assert await it.ctl("notifications", "bad") == 0
        line = capsys.readouterr().out.splitlines()[1]
        assert line.split()[-7:] == ["backup", "for", "ops", "sent", "DOWN:", "bad", "taken"]


async def test_a_notifier_that_fails_is_an_exit_status(tmp_path: Path, capsys: Capture) -> None:
    async with there(tmp_path) as it:
        it.made.alerts.apply(OPS)
        FakeNotifier.made[0].act = refuse
        await fall(it)
        await delivered(it.made)
        capsys.readouterr()
        assert await it.ctl("notifiers") == 1
        assert "fails since 2026-01-01 " in capsys.readouterr().out.splitlines()[1]
        assert await it.ctl("notifiers", "--json") == 1
        assert json.loads(capsys.readouterr().out)["notifiers"][0]["error"] == "503 busy"
        await it.ctl("status")
        line = capsys.readouterr().out.splitlines()[1]
        assert line.startswith("ops cannot deliver since 2026-01-01 ")
        assert line.endswith(": 503 busy; 1 notification waiting")


async def test_a_notifier_that_delivers_with_a_warning_shows_it(tmp_path: Path, capsys: Capture) -> None:
    async with there(tmp_path) as it:
        it.made.alerts.apply(OPS)
        FakeNotifier.made[0].warning = "sent unencrypted: STARTTLS failed"
        await fall(it)
        await delivered(it.made)
        capsys.readouterr()
        assert await it.ctl("notifiers") == 0
        assert "sent unencrypted: STARTTLS" in capsys.readouterr().out.splitlines()[1]
        await it.ctl("status")
        assert "ops: sent unencrypted: STARTTLS failed" in capsys.readouterr().out.splitlines()


async def test_a_test_tells_what_was_said(tmp_path: Path, capsys: Capture) -> None:
    async with there(tmp_path) as it:
        it.made.alerts.apply(OPS)
        assert await it.ctl("test-notifier", "ops") == 0
        assert capsys.readouterr().out == "ops: delivered (taken)\n"
        assert await it.ctl("test-notifier", "ops", "--json") == 0
        assert json.loads(capsys.readouterr().out)["response"] == "taken"
        FakeNotifier.made[0].act = refuse
        assert await it.ctl("test-notifier", "ops") == 1
        assert "ops: 503 busy" in capsys.readouterr().err
        assert await it.ctl("test-notifier", "opps") == 1
        assert "no notifier is called opps; known are ops" in capsys.readouterr().err
