"""A reload is a transaction: in force as a whole, or refused with nothing changed and everybody told."""

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


def test_accepted_reload_is_in_force_when_systemctl_returns(monitord: Installed) -> None:
    since, before = monitord.machine.now_in_journal(), monitord.pid
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    assert {one["name"] for one in monitord.get("/monitors")["monitors"]} == {"web", "broken"}
    assert monitord.pid == before
    said = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert [line for line in said if "1 added, 1 unchanged" in line], said


@pytest.mark.parametrize("failure", BROKEN)
def test_refused_reload_fails_and_changes_nothing(monitord: Installed, failure: str) -> None:
    before, since = monitord.pid, monitord.machine.now_in_journal()
    checks = monitord.get("/monitors")["monitors"]
    if failure == "not UTF-8":
        monitord.machine.shell(f"printf '\\377\\376' > {FRAGMENT}")
    else:
        monitord.configure(BROKEN[failure])
    refused = monitord.systemctl("reload", "monitord", ok=False)
    assert refused.returncode != 0
    assert monitord.pid == before
    assert monitord.state == "active"
    assert [one["name"] for one in monitord.get("/monitors")["monitors"]] == [one["name"] for one in checks]
    assert_everybody_is_told(monitord, since)
    monitord.await_check("web")


def test_refused_reload_tells_file_line_key_and_what_to_write(monitord: Installed) -> None:
    monitord.configure(UNKNOWN_KEY)
    said = monitord.machine.run("monitorctl", "reload", ok=False)
    assert said.returncode == 1
    for part in ("test.toml:3", "monitors.web.chek_every", "check_every"):
        assert part in said.stderr
    assert monitord.machine.run("monitorctl", "check-config", ok=False).returncode == 1


@pytest.mark.parametrize("what", ["unreadable", "directory", "removed"])
def test_configuration_file_that_cannot_be_read_is_refused(monitord: Installed, what: str) -> None:
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
        assert_everybody_is_told(monitord, since)
    finally:
        monitord.machine.shell(
            "if [ -e /etc/kept ]; then rm -rf /etc/monitord.toml && mv /etc/kept /etc/monitord.toml; fi;"
            "chown root:monitord /etc/monitord.toml; chmod 0640 /etc/monitord.toml"
        )


def test_good_reload_ends_what_a_refused_one_left(monitord: Installed) -> None:
    monitord.configure("x = \n")
    monitord.systemctl("reload", "monitord", ok=False)
    monitord.configure(WATCHING)
    monitord.systemctl("reload", "monitord")
    assert monitord.get("/status")["reload"]["ok"] is True
    eventually(lambda: "refused" not in monitord.machine.show("monitord.service", "StatusText"))


def test_hangup_reloads_as_well(monitord: Installed) -> None:
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("kill", "--signal=HUP", "monitord.service")
    eventually(lambda: len(monitord.get("/monitors")["monitors"]) == 2)
    monitord.configure("x = \n")
    monitord.systemctl("kill", "--signal=HUP", "monitord.service")
    eventually(lambda: monitord.get("/status")["reload"]["ok"] is False)
    assert len(monitord.get("/monitors")["monitors"]) == 2


def test_broken_configuration_at_start_ends_with_78_and_is_not_tried_again(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service")
    since = monitord.machine.now_in_journal()
    monitord.configure(UNKNOWN_KEY)
    assert monitord.systemctl("start", "monitord.service", ok=False).returncode == 1
    assert monitord.machine.show("monitord.service", "ExecMainStatus") == "78"
    assert monitord.state == "failed"
    assert monitord.restarts == 0
    said = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert [line for line in said if "test.toml:3" in line and "chek_every" in line], said


def test_who_asks_a_daemon_that_does_not_start_is_told_why_and_starts_it_once(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service")
    monitord.configure(UNKNOWN_KEY)
    since = monitord.machine.now_in_journal()
    asked = monitord.machine.run("monitorctl", "status", ok=False)
    assert asked.returncode == 3
    assert "chek_every" in asked.stderr
    eventually(lambda: monitord.state == "failed")
    time.sleep(3)  # in which the socket would start it again, if anybody waited there still
    said = [str(entry["MESSAGE"]) for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert len([line for line in said if "chek_every" in line]) == 1, said
    assert monitord.machine.show("monitord.socket", "ActiveState") == "active"
    monitord.configure("")
    # Nothing else is needed, not even a start: who asks next has an answer.
    assert monitord.machine.run("monitorctl", "status", ok=False).returncode in {0, 1, 2}
    assert monitord.state == "active"


def assert_everybody_is_told(monitord: Installed, since: int) -> None:
    reload = monitord.get("/status")["reload"]
    assert reload["ok"] is False
    assert reload["error"]
    # The manager is told by a datagram, of which it is not said when it is read.
    eventually(lambda: "refused" in monitord.machine.show("monitord.service", "StatusText"))
    assert "refused" in monitord.systemctl("status", "monitord.service").stdout
    entries = monitord.machine.journal("--unit=monitord", "--priority=err", since=since)
    assert [entry for entry in entries if "reload rejected" in str(entry["MESSAGE"])], entries
