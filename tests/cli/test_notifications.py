"""The commands notifiers, notifications and test-notifier."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.alerts import AlertRoute, AlertSettings
from monitord.notifiers import DeliveryError, Message, NotifierSettings
from tests.alerts.fakes import FakeNotifier, fail_delivery, fake_type
from tests.cli.running_daemon import running_daemon
from tests.cli.test_actions import go_down
from tests.status.api.test_alerts import delivered

Capture = pytest.CaptureFixture[str]
OPS = AlertSettings((NotifierSettings("ops", "fake", None, group_wait_s=0.0),))


@pytest.fixture(autouse=True)
def with_the_fake_type() -> Iterator[None]:
    with fake_type():
        yield


async def test_output_without_notifiers(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await daemon.ctl("notifiers") == 0
        assert "no notifiers are configured; add [notifiers.NAME]" in capsys.readouterr().out
        assert await daemon.ctl("notifications") == 0
        assert capsys.readouterr().out == "no notifications\n"
        assert await daemon.ctl("test-notifier", "ops") == 1
        assert "no notifier has the name 'ops'; none is configured" in capsys.readouterr().err


async def test_notifications_are_a_line_each(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.alerts.apply(OPS)
        await go_down(daemon)
        await delivered(daemon.world)
        capsys.readouterr()
        assert await daemon.ctl("notifications") == 0
        head, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["TIME", "(UTC)", "NOTIFIER", "STATUS", "NOTIFICATION", "RESPONSE"]
        assert line.split()[-5:] == ["ops", "sent", "DOWN:", "bad", "taken"]
        assert await daemon.ctl("notifications", "good", "-n", "3") == 0
        assert capsys.readouterr().out == "no notifications\n"
        assert await daemon.ctl("notifications", "bad", "--json") == 0
        assert json.loads(capsys.readouterr().out)["notifications"][0]["monitor"] == "bad"
        assert await daemon.ctl("notifiers") == 0
        head, line = capsys.readouterr().out.splitlines()
        assert head.split() == ["NOTIFIER", "TYPE", "UNDELIVERED", "SENT", "LAST", "SENT", "(UTC)", "STATE"]
        assert line.split()[:4] == ["ops", "fake", "0", "1"]
        assert line.endswith("working")


async def test_notification_that_the_fallback_delivered_shows_both_notifiers(
    tmp_path: Path, capsys: Capture
) -> None:
    def reject(_: Message) -> None:
        raise DeliveryError("413 too large", is_rejected=True)

    ops = NotifierSettings("ops", "fake", None, group_wait_s=0.0, fallback="backup")
    backup = NotifierSettings("backup", "fake", None, group_wait_s=0.0)
    async with running_daemon(tmp_path) as daemon:
        daemon.world.alerts.apply(AlertSettings((ops, backup), (AlertRoute(("ops",)),)))
        FakeNotifier.made[0].act = reject
        sent = asyncio.Event()
        FakeNotifier.made[1].act = lambda _: sent.set()
        await go_down(daemon)
        await sent.wait()
        capsys.readouterr()
        assert await daemon.ctl("notifications", "bad") == 0
        line = capsys.readouterr().out.splitlines()[1]
        assert line.split()[-7:] == ["backup", "for", "ops", "sent", "DOWN:", "bad", "taken"]


async def test_failing_notifier_sets_the_exit_status(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.alerts.apply(OPS)
        FakeNotifier.made[0].act = fail_delivery
        await go_down(daemon)
        await delivered(daemon.world)
        capsys.readouterr()
        assert await daemon.ctl("notifiers") == 1
        assert "failing since 2026-01-01 " in capsys.readouterr().out.splitlines()[1]
        assert await daemon.ctl("notifiers", "--json") == 1
        assert json.loads(capsys.readouterr().out)["notifiers"][0]["error"] == "503 busy"
        await daemon.ctl("status")
        line = capsys.readouterr().out.splitlines()[1]
        assert line.startswith("notifier ops has been failing since 2026-01-01 ")
        assert line.endswith(": 503 busy; 1 undelivered notification")


async def test_warning_of_a_notifier_is_shown(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.alerts.apply(OPS)
        FakeNotifier.made[0].warning = "sent unencrypted: STARTTLS failed"
        await go_down(daemon)
        await delivered(daemon.world)
        capsys.readouterr()
        assert await daemon.ctl("notifiers") == 0
        assert "sent unencrypted: STARTTLS" in capsys.readouterr().out.splitlines()[1]
        await daemon.ctl("status")
        assert "notifier ops: sent unencrypted: STARTTLS failed" in capsys.readouterr().out.splitlines()


async def test_response_to_a_test_notification_is_shown(tmp_path: Path, capsys: Capture) -> None:
    async with running_daemon(tmp_path) as daemon:
        daemon.world.alerts.apply(OPS)
        assert await daemon.ctl("test-notifier", "ops") == 0
        assert capsys.readouterr().out == 'ops: accepted; response: "taken"\n'
        assert await daemon.ctl("test-notifier", "ops", "--json") == 0
        assert json.loads(capsys.readouterr().out)["response"] == "taken"
        FakeNotifier.made[0].act = fail_delivery
        assert await daemon.ctl("test-notifier", "ops") == 1
        assert "ops: 503 busy" in capsys.readouterr().err
        assert await daemon.ctl("test-notifier", "opps") == 1
        assert "no notifier has the name 'opps'; did you mean ops?" in capsys.readouterr().err
