"""The journal entries, and that checks continue while the journal does not respond."""

import time

import pytest

from tests.system.bed import eventually
from tests.system.installed import FAILING, WATCHING, Installed, is_check_line

# Several times as long as it takes to fill the socket of a blocked journal: 512 messages of the whole machine.
AWAY_S = 20
BUSY = "".join(
    f'[monitors.busy{number}]\nurl = "http://127.0.0.1:8080/ok"\ncheck_every = "200ms"\ntimeout = "200ms"\n'
    for number in range(20)
)
OUTAGES = {
    "stopped": (
        "systemctl mask --runtime systemd-journald.service && systemctl stop systemd-journald.service",
        "systemctl unmask --runtime systemd-journald.service && systemctl start systemd-journald.service",
    ),
    "frozen": (
        "systemctl kill --signal=STOP systemd-journald.service",
        "systemctl kill --signal=CONT systemd-journald.service",
    ),
}


def test_check_is_one_line_with_fields(monitord: Installed) -> None:
    entry = monitord.await_check("web")
    assert entry["MESSAGE"].startswith("web: GET http://127.0.0.1:8080/ok 200, 5 bytes, ")
    assert entry["SYSLOG_IDENTIFIER"] == "monitord"
    assert entry["_SYSTEMD_UNIT"] == "monitord.service"
    assert entry["PRIORITY"] == "6"
    fields = {name: entry[name] for name in entry if name.startswith(("MONITOR", "HTTP", "RESPONSE"))}
    assert fields == {
        "MONITOR": "web",
        "MONITOR_TYPE": "http",
        "MONITOR_VERDICT": "pass",
        "MONITOR_STATE": "up",
        "MONITOR_REASON": "ok",
        "MONITOR_URL": "http://127.0.0.1:8080/ok",
        "MONITOR_ADDRESS": "127.0.0.1",
        "HTTP_STATUS": "200",
        "RESPONSE_BYTES": "5",
    }
    assert int(entry["DURATION_USEC"]) > 0
    for phase in ("CONNECT", "PROCESSING", "TRANSFER"):
        assert int(entry[f"PHASE_{phase}_USEC"]) >= 0


def test_match_by_monitor_finds_only_its_entries(monitord: Installed) -> None:
    monitord.configure(WATCHING + FAILING)
    since = monitord.machine.now_in_journal()
    monitord.systemctl("reload", "monitord")
    eventually(lambda: monitord.checks_of("web", since) and monitord.checks_of("broken", since))
    assert {entry["MONITOR"] for entry in monitord.checks_of("broken", since)} == {"broken"}


def test_only_a_change_of_state_is_logged_at_warning_or_above(monitord: Installed) -> None:
    monitord.await_check("web")
    since = monitord.machine.now_in_journal()
    monitord.await_check("web")
    assert monitord.machine.journal("--unit=monitord", "--priority=warning", since=since) == []
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    for _ in range(3):
        monitord.await_check("broken")
    entries = monitord.machine.journal("--unit=monitord", "--priority=warning", since=since)
    assert [entry["MESSAGE"].partition(" (")[0] for entry in entries] == ["broken is down"]


def test_catalog_explains_the_messages(monitord: Installed) -> None:
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    eventually(lambda: monitord.get("/monitors/broken")["state"] == "down")
    explained = monitord.machine.run("journalctl", "-x", "--unit=monitord", "MONITOR=broken").stdout
    assert "Subject: broken is down" in explained
    assert "Documentation: man:monitord.toml(5)" in explained
    since = monitord.machine.now_in_journal()
    monitord.await_check("web")
    plain = monitord.machine.journal("--unit=monitord", "MONITOR=web", since=since)
    assert plain
    assert not [entry for entry in plain if "MESSAGE_ID" in entry]
    since_boot = monitord.machine.journal("--unit=monitord")
    for identity in {entry["MESSAGE_ID"] for entry in since_boot if "MESSAGE_ID" in entry}:
        monitord.machine.run("journalctl", "--list-catalog", identity)


@pytest.mark.parametrize("how", OUTAGES)
def test_checks_continue_while_the_journal_does_not_respond(monitord: Installed, how: str) -> None:
    monitord.configure(BUSY)
    monitord.systemctl("reload", "monitord")
    before, restarts = monitord.pid, monitord.restarts
    since, checks = monitord.machine.now_in_journal(), monitord.get("/status")["checks"]["total"]
    begin, end = OUTAGES[how]
    monitord.machine.shell(begin)
    try:
        deadline = time.monotonic() + AWAY_S
        while time.monotonic() < deadline:
            await_more_checks(monitord, 50)
    finally:
        monitord.machine.shell(end)
    assert monitord.pid == before
    assert monitord.restarts == restarts
    # Every lost message is counted.
    checks = monitord.get("/status")["checks"]["total"] - checks
    eventually(lambda: logged_or_lost(monitord, since) >= checks)
    monitord.await_check("busy0")


def logged_or_lost(monitord: Installed, since: int) -> int:
    """Count the checks in the journal, and the messages that the daemon reports as lost."""
    entries = monitord.machine.journal("--unit=monitord", since=since)
    logged = [entry for entry in entries if is_check_line(entry)]
    return len(logged) + sum(int(entry.get("LOG_MESSAGES_LOST", 0)) for entry in entries)


def await_more_checks(monitord: Installed, count: int) -> None:
    """Wait until `count` more checks have ended."""

    def total() -> int:
        number: int = monitord.get("/status")["checks"]["total"]
        return number

    before = total()
    eventually(lambda: total() >= before + count)
