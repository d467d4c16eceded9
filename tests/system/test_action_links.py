"""Links in delivered notifications act once, and only when their form is sent."""

import base64
import email
import email.policy
import hashlib
import hmac
import re
import struct

from tests.system.bed import Completed, Machine, eventually
from tests.system.installed import FAILING, WATCHING, Installed
from tests.system.sink import Sink

URL = "http://127.0.0.1:9120"

LINKS = f"""
[status]
listen = "127.0.0.1:9120"
public_url = "{URL}"

[notifiers.hook]
url = "http://127.0.0.1:9911/told"
group_wait = "500ms"
action_links = true

[notifiers.ops]
to = ["ops@example.org"]
server = "127.0.0.1:2525"
group_wait = "500ms"
action_links = true
"""

# As in monitord/alerts/action_links.py.
CONTEXT = b"monitord action link 1\0"
PAYLOAD_BYTES = 17
EXPIRY_BYTES = slice(1, 5)
MAC_BYTES = 16


def begin(monitord: Installed, sink: Sink) -> None:
    """Start the daemon with a monitor that is down. `[status]` is read at the start only."""
    sink.start()
    monitord.configure(WATCHING + FAILING + LINKS)
    monitord.systemctl("restart", "monitord")


def ask(machine: Machine, url: str, *options: str) -> tuple[int, str]:
    """Return the status and the body of a response to a client that is not on the Unix socket."""
    done: Completed = machine.run(
        *("curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\\n%{http_code}"),
        *(*options, url),
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def acknowledged_by(monitord: Installed) -> str | None:
    (incident,) = monitord.get("/api/v1/monitors/broken/incidents")["incidents"]
    by: str | None = incident["acknowledged_by"]
    return by


def with_expiry(machine: Machine, url: str, expires_s: int) -> str:
    """Return the link as it would be with another expiry, signed with the key of the daemon."""
    before, _, token = url.rpartition("/")
    payload = bytearray(base64.urlsafe_b64decode(token)[:PAYLOAD_BYTES])
    payload[EXPIRY_BYTES] = struct.pack(">I", expires_s)
    key = bytes.fromhex(
        machine.run("od", "-An", "-v", "-tx1", "/var/lib/monitord/action-links.key").stdout.replace("\n", "")
    )
    mac = hmac.digest(key, CONTEXT + payload, hashlib.sha256)[:MAC_BYTES]
    return f"{before}/{base64.urlsafe_b64encode(payload + mac).decode()}"


def test_link_in_a_webhook_acknowledges_once(monitord: Installed, sink: Sink) -> None:
    machine = monitord.machine
    since = machine.now_in_journal()
    begin(monitord, sink)
    (problem,) = eventually(sink.notifications)
    link = problem["acknowledge_url"]
    assert link.startswith(f"{URL}/action/")
    for _ in range(2):
        status, page = ask(machine, link)
        assert (status, "Acknowledge the incident" in page) == (200, True)
    assert acknowledged_by(monitord) is None
    status, page = ask(machine, link, "--data", "name=Kim&comment=cable")
    assert (status, "The incident is acknowledged" in page) == (200, True)
    by = 'link in notification to hook, as "Kim"'
    assert acknowledged_by(monitord) == by
    for options in ((), ("--data", "name=Sam")):
        status, page = ask(machine, link, *options)
        assert (status, "This link has been used" in page) == (410, True)
    assert acknowledged_by(monitord) == by
    entries = machine.journal("--unit=monitord", since=since)
    assert f"broken: incident acknowledged by {by}: cable" in [entry["MESSAGE"] for entry in entries]
    assert link.rpartition("/")[2] not in str(entries)
    # The permission is for this change only, and both the incident and the use of the link outlive a restart.
    assert ask(machine, f"{URL}/api/v1/monitors/broken/pause", "--request", "POST")[0] == 403
    monitord.systemctl("restart", "monitord")
    assert acknowledged_by(monitord) == by
    assert ask(machine, link, "--data", "name=Sam")[0] == 410


def test_link_in_a_mail_silences(monitord: Installed, sink: Sink) -> None:
    machine = monitord.machine
    begin(monitord, sink)
    (text,) = eventually(lambda: sink.received("mail"))
    mail = email.message_from_string(text, policy=email.policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    links = re.findall(rf"{URL}/action/\S+", body.get_content())
    (link,) = [link for link in links if "Silence broken for 1 h" in ask(machine, link)[1]]
    assert monitord.get("/api/v1/silences")["silences"] == []
    assert ask(machine, link, "--request", "POST")[0] == 200
    (silence,) = monitord.get("/api/v1/silences")["silences"]
    assert silence["by"] == "link in notification to ops"
    assert ask(machine, link, "--request", "POST")[0] == 410
    assert len(monitord.get("/api/v1/silences")["silences"]) == 1


def test_expired_or_forged_link_is_refused(monitord: Installed, sink: Sink) -> None:
    machine = monitord.machine
    begin(monitord, sink)
    (problem,) = eventually(sink.notifications)
    link = problem["acknowledge_url"]
    now_s = int(machine.run("date", "+%s").stdout)
    # A valid link with another expiry: the key and the signature are those of the daemon.
    assert ask(machine, with_expiry(machine, link, now_s + 3600))[0] == 200
    expired = with_expiry(machine, link, now_s - 1)
    for options in ((), ("--request", "POST")):
        status, page = ask(machine, expired, *options)
        assert (status, "This link has expired" in page) == (410, True)
    forged = link[:-1] + ("A" if link[-1] != "A" else "B")
    assert ask(machine, forged, "--request", "POST")[0] == 404
    assert acknowledged_by(monitord) is None
