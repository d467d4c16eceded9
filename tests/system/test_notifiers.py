"""Notifications are delivered from the sandbox of the service, even after a crash of the daemon."""

import email
import email.policy
import json
from collections.abc import Iterator

import pytest

from monitord.journal_events import JournalEvent
from tests.system.bed import eventually
from tests.system.installed import FAILING, WATCHING, Installed
from tests.system.sink import Sink

FIXED = FAILING.replace("/fail", "/ok")

HOOK = """
[notifiers.hook]
url = "http://127.0.0.1:9911/told"
group_wait = "500ms"
"""

MAIL = """
[notifiers.ops]
to = ["ops@example.org"]
server = "127.0.0.1:2525"
"""

APPRISE = """
[notifiers.phone]
type = "apprise"
urls = ["json://127.0.0.1:9911/s3cret-path", "ntfy://127.0.0.1:9911/alarms"]
group_wait = "500ms"
"""

PAGER = """
[notifiers.pager]
command = ["/usr/local/bin/page", "ops"]
group_wait = "500ms"
"""

PAGE = """#!/bin/sh
cat >/var/lib/monitord/paged.json
echo "$1: $MONITORD_SUBJECT" >>/var/lib/monitord/paged
echo paged
"""


def configure(monitord: Installed, text: str) -> None:
    monitord.configure(WATCHING + text)
    monitord.systemctl("reload", "monitord")


def test_undelivered_notification_outlives_a_crash_and_is_sent_once(monitord: Installed, sink: Sink) -> None:
    since = monitord.machine.now_in_journal()
    configure(monitord, FAILING + HOOK)
    eventually(lambda: monitord.get("/api/v1/notifiers")["notifiers"][0]["error"])
    (line,) = monitord.machine.journal(
        "--unit=monitord", f"MESSAGE_ID={JournalEvent.NOTIFIER_FAILED.message_id}", since=since
    )
    assert line["NOTIFIER"] == "hook"
    assert "127.0.0.1:9911" in line["MESSAGE"]
    output = monitord.machine.run("monitorctl", "status", ok=False).stdout
    assert "notifier hook has been failing since" in output
    eventually(lambda: "hook cannot deliver" in monitord.machine.show("monitord.service", "StatusText"))
    before = monitord.pid
    monitord.machine.run("systemctl", "kill", "--signal=KILL", "monitord.service")
    eventually(lambda: monitord.state == "active" and monitord.pid not in {0, before})
    configure(monitord, FIXED + HOOK)
    eventually(lambda: monitord.get("/monitors/broken")["state"] == "up")
    sink.start()
    eventually(lambda: len(sink.notifications()) >= 2)
    monitord.systemctl("restart", "monitord")
    sent = [
        (notification["kind"], notification["monitor"], notification["notifier"])
        for notification in sink.notifications()
    ]
    assert sent == [("problem", "broken", "hook"), ("recovery", "broken", "hook")]
    opening, closing = sink.notifications()
    assert opening["alert"] == closing["alert"]
    assert opening["id"] != closing["id"]
    rows = monitord.machine.run("monitorctl", "notifications", "broken").stdout.splitlines()
    assert [row.split()[3] for row in rows[1:]] == ["sent", "sent"]
    explained = monitord.machine.run("monitorctl", "explain", "broken").stdout
    assert '"UP: broken, recovered after ' in " ".join(explained.split())


def test_mail_is_delivered(monitord: Installed, sink: Sink) -> None:
    sink.start()
    configure(monitord, MAIL)
    output = monitord.machine.run("monitorctl", "test-notifier", "ops").stdout
    assert output.startswith("ops: accepted; response: ")
    (text,) = sink.received("mail")
    mail = email.message_from_string(text, policy=email.policy.default)
    host = monitord.machine.run("uname", "--nodename").stdout.strip()
    assert mail["Subject"] == f"[monitord {host}] Test of notifier ops"
    assert mail["To"] == "ops@example.org"
    sink.stop()
    refused = monitord.machine.run("monitorctl", "test-notifier", "ops", ok=False)
    assert (refused.returncode, "127.0.0.1:2525" in refused.stderr) == (1, True)


def test_notifier_program_runs_in_the_sandbox(monitord: Installed) -> None:
    machine = monitord.machine
    machine.write("/usr/local/bin/page", PAGE)
    machine.run("chmod", "0755", "/usr/local/bin/page")
    configure(monitord, FAILING + PAGER)
    paged = eventually(lambda: machine.run("cat", "/var/lib/monitord/paged", ok=False).stdout)
    assert paged.startswith("ops: [monitord ")
    assert "DOWN: broken" in paged
    whole = json.loads(machine.run("cat", "/var/lib/monitord/paged.json").stdout)
    assert whole["notifications"][0]["reason"] == "condition_failed"
    machine.run("rm", "/usr/local/bin/page")


def test_apprise_is_optional(monitord: Installed) -> None:
    monitord.configure(WATCHING + APPRISE)
    result = monitord.machine.run("monitorctl", "check-config", ok=False)
    assert result.returncode != 0
    assert "install the package apprise" in result.stdout + result.stderr


@pytest.fixture
def with_apprise(monitord: Installed) -> Iterator[None]:
    machine = monitord.machine
    machine.run("apt-get", "--yes", "install", "apprise", within_s=300)
    monitord.systemctl("restart", "monitord")
    yield
    machine.run("apt-get", "--yes", "--auto-remove", "purge", "apprise", within_s=300)


@pytest.mark.usefixtures("with_apprise")
def test_apprise_delivers_from_the_sandbox(monitord: Installed, sink: Sink) -> None:
    since = monitord.machine.now_in_journal()
    sink.start()
    configure(monitord, FAILING + APPRISE)
    eventually(lambda: monitord.get("/api/v1/notifiers")["notifiers"][0]["last_sent_at"])
    # One request of each service, in any order.
    messages = {json.loads(body).get("topic", "json"): json.loads(body) for body in sink.received("request")}
    assert messages.keys() == {"json", "alarms"}
    assert all("DOWN: broken" in message["title"] for message in messages.values())
    (line,) = monitord.machine.journal(
        "--unit=monitord", f"MESSAGE_ID={JournalEvent.NOTIFICATION_SENT.message_id}", since=since
    )
    assert "sent to json://***, ntfy://***" in line["MESSAGE"]
    everything = str(monitord.machine.journal("--unit=monitord", since=since))
    assert "s3cret-path" not in everything + monitord.machine.run("monitorctl", "notifiers").stdout


def test_route_to_an_unknown_notifier_is_rejected(monitord: Installed) -> None:
    monitord.configure(WATCHING + HOOK + '[[alerts.routes]]\nnotify = "hok"\n')
    rejected = monitord.systemctl("reload", "monitord", ok=False)
    assert rejected.returncode != 0
    result = monitord.machine.run("monitorctl", "check-config", ok=False)
    assert '"hok" is not a notifier; configured notifiers: hook' in result.stdout + result.stderr
