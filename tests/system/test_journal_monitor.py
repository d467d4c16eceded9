"""Monitors of the real journal: each entry is counted at once and exactly once, even after kills and restarts."""

from typing import Any

import pytest

from tests.system.bed import eventually
from tests.system.installed import Installed

UNIT = "monitord.service"
WATCHING_LINES = """\
[monitors.lines]
type = "journal"
identifier = "shop"
pattern = "^payment [0-9]+ failed$"
at_most = 2
within = "10m"
check_every = "10m"
timeout = "30s"

[monitors.errors]
type = "journal"
priority = "err"
at_most = 1000
check_every = "10s"
timeout = "10s"

[monitors.backup]
type = "journal"
identifier = "backup"
absent_for = "4s"
check_every = "1s"
timeout = "1s"
"""
# The stored position; it is written some moments after the check.
STORED_POSITION = """\
import json, sqlite3
history = sqlite3.connect("file:/var/lib/monitord/history.sqlite3?mode=ro", uri=True)
for (body,) in history.execute("SELECT body FROM states WHERE monitor = 'lines'"):
    print(json.loads(body)["type_state"]["cursor"])
"""
WITHOUT_GROUP = "[Service]\nSupplementaryGroups=\n"


def check(monitord: Installed, name: str) -> dict[str, Any]:
    """Check now, and return the journal entry of the check."""
    since = monitord.machine.now_in_journal()
    monitord.ask(f"/monitors/{name}/check", "--request", "POST")
    return eventually(lambda: monitord.checks_of(name, since))[-1]


def count(monitord: Installed, name: str = "lines") -> int:
    return int(check(monitord, name)["JOURNAL_COUNT"])


def log_failures(monitord: Installed, *numbers: int) -> None:
    for number in numbers:
        monitord.machine.run("logger", "--tag=shop", f"payment {number} failed")


def reader(monitord: Installed) -> int:
    """Return the PID of the process that reads the journal; 0: there is none."""
    output = monitord.machine.run("pgrep", "--full", "monitord.journal.follower", ok=False).stdout.split()
    return int(output[0]) if output else 0


@pytest.fixture
def watching(monitord: Installed) -> Installed:
    """The service with journal monitors that have counted nothing yet."""
    monitord.systemctl("stop", UNIT)
    monitord.machine.shell("find /var/lib/monitord -mindepth 1 -delete")
    monitord.configure(WATCHING_LINES)
    since = monitord.machine.now_in_journal()
    monitord.systemctl("start", UNIT)
    eventually(lambda: monitord.checks_of("lines", since) and reader(monitord))
    return monitord


def test_service_may_read_the_journal(watching: Installed) -> None:
    last = check(watching, "lines")
    assert (last["MONITOR_VERDICT"], last["MONITOR_REASON"]) == ("pass", "ok")
    # The groups in the kernel, seen from outside the user namespace of the service.
    group = watching.machine.shell("getent group systemd-journal").split(":")[2]
    assert group in watching.machine.shell(f"grep ^Groups: /proc/{watching.pid}/status").split()


def test_matching_entries_fail_the_monitor_within_seconds(watching: Installed) -> None:
    since = watching.machine.now_in_journal()
    before = count(watching)
    log_failures(watching, 1, 2)
    watching.machine.run("logger", "--tag=shop", "payment 3 done")
    watching.machine.run("logger", "--tag=other", "payment 4 failed")
    assert count(watching) == before + 2
    watching.machine.run("systemd-cat", "--identifier=shop", "echo", "payment 5 failed")
    # Long before the next check is due.
    failed = eventually(
        lambda: [check for check in watching.checks_of("lines", since) if check["MONITOR_VERDICT"] == "fail"]
    )
    assert failed[0]["MONITOR_REASON"] == "journal_matched"
    assert failed[0]["MONITOR_STATE"] == "down"
    assert "payment 5 failed" in failed[0]["MESSAGE"]


def test_missing_entries_fail_the_monitor_until_the_next_entry(watching: Installed) -> None:
    since = watching.machine.now_in_journal()
    eventually(
        lambda: [
            check
            for check in watching.checks_of("backup", since)
            if check["MONITOR_REASON"] == "journal_absent"
        ]
    )
    since = watching.machine.now_in_journal()
    watching.machine.run("logger", "--tag=backup", "finished")
    eventually(
        lambda: [check for check in watching.checks_of("backup", since) if check["MONITOR_VERDICT"] == "pass"]
    )


def test_daemon_does_not_count_its_own_entries(watching: Installed) -> None:
    """Its entry "backup is down" is an error, and would be counted by `errors`."""
    since = watching.machine.now_in_journal()
    before = count(watching, "errors")
    eventually(lambda: watching.machine.journal("--unit=monitord", "--priority=err", since=since))
    assert count(watching, "errors") == before
    watching.machine.run("logger", "--tag=disk", "--priority=user.err", "failed")
    assert count(watching, "errors") == before + 1


def test_killed_reader_process_loses_and_repeats_no_entry(watching: Installed) -> None:
    before = count(watching)
    process = reader(watching)
    for number in range(3):
        log_failures(watching, number)
        watching.machine.run("kill", "-KILL", str(reader(watching) or process))
        log_failures(watching, 10 + number)
        eventually(lambda: reader(watching))
    assert count(watching) == before + 6
    assert reader(watching) != process


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_killed_or_restarted_daemon_counts_each_entry_once(watching: Installed, how: str) -> None:
    if not watching.machine.shell("find /var/lib/monitord -type f"):
        pytest.skip("this daemon stores no state")
    before = count(watching)
    # A monitor without a stored position begins at the end of the journal.
    eventually(
        lambda: watching.machine.run("python3", "-c", STORED_POSITION).stdout.strip() not in {"", "None"}
    )
    for number in range(3):
        log_failures(watching, number)
        counted = count(watching)
        log_failures(watching, 10 + number)
        if how == "kill":
            watching.systemctl("kill", "--signal=KILL", UNIT)
        else:
            watching.systemctl("restart", UNIT)
        log_failures(watching, 20 + number)
        eventually(lambda: watching.state == "active" and reader(watching))
        assert count(watching) == counted + 2
    assert count(watching) == before + 9


def test_entries_are_counted_across_a_restart_and_a_rotation_of_journald(watching: Installed) -> None:
    """A vacuum deletes entries, read or not; the counted entries stay counted."""
    before = count(watching)
    log_failures(watching, 1)
    watching.machine.run("systemctl", "restart", "systemd-journald.service")
    log_failures(watching, 2)
    watching.machine.run("journalctl", "--rotate")
    log_failures(watching, 3)
    assert count(watching) == before + 3
    watching.machine.run("journalctl", "--rotate", "--vacuum-files=1")
    log_failures(watching, 4)
    assert count(watching) == before + 4


def test_check_without_the_group_is_inconclusive_and_names_the_fix(watching: Installed) -> None:
    watching.machine.write(f"/etc/systemd/system/{UNIT}.d/group.conf", WITHOUT_GROUP)
    watching.systemctl("daemon-reload")
    watching.systemctl("restart", UNIT)
    last = check(watching, "lines")
    assert (last["MONITOR_VERDICT"], last["MONITOR_REASON"]) == ("inconclusive", "prober_forbidden")
    assert "Permission denied" in last["MESSAGE"]
    assert "add SupplementaryGroups=systemd-journal to the unit" in last["MESSAGE"]


def test_reader_process_ends_with_its_last_monitor_and_with_the_service(watching: Installed) -> None:
    watching.configure('[monitors.web]\nurl = "http://127.0.0.1:8080/ok"\n')
    watching.systemctl("reload", "monitord")
    eventually(lambda: not reader(watching))
    watching.configure(WATCHING_LINES)
    watching.systemctl("reload", "monitord")
    eventually(lambda: reader(watching))
    watching.systemctl("stop", "monitord")
    assert reader(watching) == 0
