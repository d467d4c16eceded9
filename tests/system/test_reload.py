"""A reload is a transaction: applied as a whole, or rejected without any change and reported everywhere."""

import time

import pytest

from tests.system.bed import eventually
from tests.system.installed import FAILING, FRAGMENT, WATCHING, Installed

UNKNOWN_KEY = '[monitors.web]\nurl = "http://127.0.0.1:8080/ok"\nchek_every = "1s"\n'
BROKEN = {
    "syntax": "x = \n",
    "unknown key": UNKNOWN_KEY,
    "NUL bytes": "\0\0\0\n",
    "not UTF-8": "",
}


def test_reload_is_applied_when_systemctl_returns(monitord: Installed) -> None:
    since, before = monitord.machine.now_in_journal(), monitord.pid
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    assert {monitor["name"] for monitor in monitord.get("/monitors")["monitors"]} == {"web", "broken"}
    assert monitord.pid == before
    messages = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert [line for line in messages if "1 added, 1 unchanged" in line], messages


@pytest.mark.parametrize("failure", BROKEN)
def test_rejected_reload_fails_and_changes_nothing(monitord: Installed, failure: str) -> None:
    before, since = monitord.pid, monitord.machine.now_in_journal()
    checks = monitord.get("/monitors")["monitors"]
    if failure == "not UTF-8":
        monitord.machine.shell(f"printf '\\377\\376' > {FRAGMENT}")
    else:
        monitord.configure(BROKEN[failure])
    rejected = monitord.systemctl("reload", "monitord", ok=False)
    assert rejected.returncode != 0
    assert monitord.pid == before
    assert monitord.state == "active"
    assert [monitor["name"] for monitor in monitord.get("/monitors")["monitors"]] == [
        check["name"] for check in checks
    ]
    assert_reported_everywhere(monitord, since)
    monitord.await_check("web")


def test_rejected_reload_shows_file_line_key_and_fix(monitord: Installed) -> None:
    monitord.configure(UNKNOWN_KEY)
    result = monitord.machine.run("monitorctl", "reload", ok=False)
    assert result.returncode == 1
    for part in ("test.toml:3", "monitors.web.chek_every", "check_every"):
        assert part in result.stderr
    assert monitord.machine.run("monitorctl", "check-config", ok=False).returncode == 1


@pytest.mark.parametrize("what", ["unreadable", "directory", "removed"])
def test_unreadable_configuration_is_rejected(monitord: Installed, what: str) -> None:
    ways = {
        "unreadable": "chmod 0600 /etc/monitord.toml && chown root:root /etc/monitord.toml",
        "directory": "mv /etc/monitord.toml /etc/kept && mkdir /etc/monitord.toml",
        "removed": "mv /etc/monitord.toml /etc/kept",
    }
    before, since = monitord.pid, monitord.machine.now_in_journal()
    try:
        monitord.machine.shell(ways[what])
        assert monitord.systemctl("reload", "monitord", ok=False).returncode != 0
        assert monitord.pid == before
        assert_reported_everywhere(monitord, since)
    finally:
        monitord.machine.shell(
            "if [ -e /etc/kept ]; then rm -rf /etc/monitord.toml && mv /etc/kept /etc/monitord.toml; fi;"
            "chown root:monitord /etc/monitord.toml; chmod 0640 /etc/monitord.toml"
        )


def test_applied_reload_clears_the_error_of_a_rejected_one(monitord: Installed) -> None:
    monitord.configure("x = \n")
    monitord.systemctl("reload", "monitord", ok=False)
    monitord.configure(WATCHING)
    monitord.systemctl("reload", "monitord")
    assert monitord.get("/status")["reload"]["status"] == "applied"
    eventually(lambda: "rejected" not in monitord.machine.show("monitord.service", "StatusText"))


def test_hangup_signal_reloads(monitord: Installed) -> None:
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("kill", "--signal=HUP", "monitord.service")
    eventually(lambda: len(monitord.get("/monitors")["monitors"]) == 2)
    monitord.configure("x = \n")
    monitord.systemctl("kill", "--signal=HUP", "monitord.service")
    eventually(lambda: monitord.get("/status")["reload"]["status"] == "rejected")
    assert len(monitord.get("/monitors")["monitors"]) == 2


def test_start_with_a_broken_configuration_ends_with_78_and_is_not_repeated(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service")
    since = monitord.machine.now_in_journal()
    monitord.configure(UNKNOWN_KEY)
    assert monitord.systemctl("start", "monitord.service", ok=False).returncode == 1
    assert monitord.machine.show("monitord.service", "ExecMainStatus") == "78"
    assert monitord.state == "failed"
    assert monitord.restarts == 0
    messages = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert [line for line in messages if "test.toml:3" in line and "chek_every" in line], messages


def test_request_to_a_daemon_that_cannot_start_shows_why_and_starts_it_once(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service")
    monitord.configure(UNKNOWN_KEY)
    since = monitord.machine.now_in_journal()
    asked = monitord.machine.run("monitorctl", "status", ok=False)
    assert asked.returncode == 3
    assert "chek_every" in asked.stderr
    eventually(lambda: monitord.state == "failed")
    time.sleep(3)  # the socket would start it again in this time if a client still waited
    messages = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert len([line for line in messages if "chek_every" in line]) == 1, messages
    assert monitord.machine.show("monitord.socket", "ActiveState") == "active"
    monitord.configure("")
    # No start is needed: the next request starts the service.
    assert monitord.machine.run("monitorctl", "status", ok=False).returncode in {0, 1, 2}
    assert monitord.state == "active"


def assert_reported_everywhere(monitord: Installed, since: int) -> None:
    reload = monitord.get("/status")["reload"]
    assert reload["status"] == "rejected"
    assert reload["error"]
    # The datagram to the service manager is read later.
    eventually(lambda: "rejected" in monitord.machine.show("monitord.service", "StatusText"))
    assert "rejected" in monitord.systemctl("status", "monitord.service").stdout
    entries = monitord.machine.journal("--unit=monitord", "--priority=err", since=since)
    assert [entry for entry in entries if "reload rejected" in str(entry["MESSAGE"])], entries
