"""Monitors of units and timers of a real systemd, from the sandbox of the service."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.bed import Machine, eventually
from tests.system.installed import WATCHING, WITHOUT_HOST, Installed

# Long, so that signals cause the results. After an extra check the next scheduled one is up to 1.5 periods away.
RARELY = 'check_every = "10s"\n'
WITHIN_S = 120.0

FRAIL = """\
[Service]
ExecStart=/bin/sleep infinity
Restart=always
RestartSec=0
"""

FLEETING = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sleep 1
Restart=always
RestartSec=0
"""

BROKEN = """\
[Service]
Type=oneshot
ExecStart=/usr/bin/test -e /run/fixed
"""

OFTEN = """\
[Timer]
OnCalendar=*:*:0/2
AccuracySec=10ms
"""


@pytest.fixture
def units(monitord: Installed) -> Iterator[Machine]:
    """A service that never ends and is always restarted, a failing service, and a timer that starts it."""
    machine = monitord.machine
    machine.write("/etc/systemd/system/frail.service", FRAIL)
    machine.write("/etc/systemd/system/fleeting.service", FLEETING)
    machine.write("/etc/systemd/system/broken.service", BROKEN)
    machine.write("/etc/systemd/system/broken.timer", OFTEN)
    machine.run("rm", "--force", "/run/fixed")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "frail.service")
    yield machine
    machine.run(
        "systemctl", "stop", "broken.timer", "broken.service", "frail.service", "fleeting.service", ok=False
    )
    machine.run("systemctl", "reset-failed", ok=False)
    machine.shell(
        "cd /etc/systemd/system && rm -f frail.service fleeting.service broken.service broken.timer /run/fixed"
    )
    machine.run("systemctl", "daemon-reload")


def watch(monitord: Installed, config: str) -> None:
    monitord.configure(WATCHING + config)
    monitord.systemctl("reload", "monitord")


def state_of(monitord: Installed, name: str) -> Any:
    found = {monitor["name"]: monitor for monitor in monitord.get("/monitors")["monitors"]}
    return found[name]["state"] if name in found else None


def await_state(monitord: Installed, name: str, state: str | None) -> None:
    """Wait for a state. A monitor of an earlier test continues with its state and schedule."""
    eventually(lambda: (state_of(monitord, name) == state) or None, within_s=WITHIN_S)


def await_line(
    monitord: Installed, name: str, since: int, words: str = "", *, reason: str = ""
) -> dict[str, Any]:
    """Return the first entry of a check with these words or this reason."""

    def find() -> dict[str, Any] | None:
        lines = monitord.checks_of(name, since)
        return next(
            (line for line in lines if words in line["MESSAGE"] and reason in {"", line["MONITOR_REASON"]}),
            None,
        )

    return eventually(lambda: find() or {}, within_s=WITHIN_S)


def assert_crash_is_reported(monitord: Installed, machine: Machine, *, end: str = r"\(signal\) ") -> None:
    """Crash the service, and wait for the failure. `end`: the pattern of how the run ended."""
    since = machine.now_in_journal()
    before = machine.show("frail.service", "MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", "frail.service")
    # The check may come before the restart, and then reports that.
    line = await_line(monitord, "frail", since, reason="unit_failed")
    assert re.search(rf"crashed {end}and was restarted once|auto-restart.*signal 9", line["MESSAGE"])
    eventually(lambda: machine.show("frail.service", "ActiveState") == "active")
    assert machine.show("frail.service", "MainPID") not in {before, "0"}
    assert machine.show("frail.service", "ActiveState") == "active"


def test_crash_is_reported_although_the_unit_is_restarted_at_once(
    monitord: Installed, units: Machine
) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\n{RARELY}')
    await_state(monitord, "frail", "up")
    assert_crash_is_reported(monitord, units)
    await_state(monitord, "frail", "up")


def test_crash_is_reported_after_a_reload_and_a_reexecution_of_systemd(
    monitord: Installed, units: Machine
) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\n{RARELY}')
    await_state(monitord, "frail", "up")
    for verb in ("daemon-reload", "daemon-reexec"):
        units.run("systemctl", verb)
        since = units.now_in_journal()
        # The check after the new subscription.
        await_line(monitord, "frail", since, "frail.service active")
        assert_crash_is_reported(monitord, units)
        await_state(monitord, "frail", "up")


def test_crash_while_monitord_was_stopped_is_reported_after_its_start(
    monitord: Installed, units: Machine
) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\n{RARELY}')
    await_state(monitord, "frail", "up")
    monitord.systemctl("stop", "monitord.service")
    since = units.now_in_journal()
    units.run("systemctl", "kill", "--signal=KILL", "frail.service")
    eventually(lambda: units.show("frail.service", "NRestarts") == "1")
    monitord.systemctl("start", "monitord.service")
    line = await_line(monitord, "frail", since, "crashed and was restarted once since")
    assert line["MONITOR_REASON"] == "unit_failed"


def test_successful_program_that_is_started_again_has_not_crashed(
    monitord: Installed, units: Machine
) -> None:
    units.run("systemctl", "start", "fleeting.service")
    watch(monitord, f'[monitors.fleeting]\nunit = "fleeting.service"\n{RARELY}')
    await_state(monitord, "fleeting", "up")
    since = units.now_in_journal()
    before = int(units.show("fleeting.service", "NRestarts"))
    eventually(lambda: int(units.show("fleeting.service", "NRestarts")) >= before + 4, within_s=WITHIN_S)
    lines = monitord.checks_of("fleeting", since)
    assert lines
    assert {line["MONITOR_REASON"] for line in lines} == {"ok"}, [line["MESSAGE"] for line in lines]


def test_manual_restart_is_not_a_failure_and_a_stop_is_one(monitord: Installed, units: Machine) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\ngrace = "3s"\n{RARELY}')
    await_state(monitord, "frail", "up")
    since = units.now_in_journal()
    units.run("systemctl", "restart", "frail.service")
    line = await_line(monitord, "frail", since, "frail.service active (running)")
    assert line["MONITOR_REASON"] == "ok"
    units.run("systemctl", "stop", "frail.service")
    await_state(monitord, "frail", "down")
    units.run("systemctl", "start", "frail.service")
    await_state(monitord, "frail", "up")


def test_failed_unit_becomes_a_monitor_automatically(monitord: Installed, units: Machine) -> None:
    units.run("rm", WITHOUT_HOST)
    watch(monitord, "")
    since = units.now_in_journal()
    units.run("systemctl", "start", "broken.service", ok=False)
    await_state(monitord, "unit:broken.service", "down")
    line = await_line(monitord, "unit:broken.service", since, "failed (exit-code, status 1)")
    assert line["MONITOR_REASON"] == "unit_failed"
    monitord.systemctl("reload", "monitord")
    assert state_of(monitord, "unit:broken.service") == "down"
    monitord.systemctl("restart", "monitord")
    await_state(monitord, "unit:broken.service", "down")
    units.run("touch", "/run/fixed")
    units.run("systemctl", "start", "broken.service")
    await_state(monitord, "unit:broken.service", "up")
    lines = monitord.checks_of("unit:broken.service", since)
    assert not [line["MESSAGE"] for line in lines if "crashed" in line["MESSAGE"]]
    output = units.run("monitorctl", "status", ok=False).stdout
    assert "unit:broken.service" in output


def test_timer_monitor_reports_the_result_of_its_job(monitord: Installed, units: Machine) -> None:
    units.run("touch", "/run/fixed")
    units.run("systemctl", "start", "broken.timer")
    watch(monitord, f'[monitors.job]\ntimer = "broken.timer"\n{RARELY}')
    await_state(monitord, "job", "up")
    eventually(lambda: "timer.last_trigger" in monitord.get("/monitors/job")["last_result"]["fields"])
    units.run("rm", "/run/fixed")
    await_state(monitord, "job", "down")
    # While the job runs, the reason is different.
    eventually(lambda: monitord.get("/monitors/job")["last_result"]["reason"] == "unit_failed")
    units.run("touch", "/run/fixed")
    await_state(monitord, "job", "up")
    since = units.now_in_journal()
    units.run("systemctl", "stop", "broken.timer")
    line = await_line(monitord, "job", since, "inactive (dead)")
    assert line["MONITOR_REASON"] == "unit_inactive"


def test_restart_of_the_bus_affects_no_verdict(monitord: Installed, units: Machine) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\n{RARELY}')
    await_state(monitord, "frail", "up")
    since = units.now_in_journal()
    units.run("systemctl", "kill", "--signal=KILL", "dbus.service")
    eventually(
        lambda: units.journal(
            "--unit=monitord", "MESSAGE=the service manager can be queried again", since=since
        )
    )
    # The restart counter shows the crash. Only a signal shows how the run ended, and for a bus that has just been
    # restarted, systemd may send one signal for the end and the new start together.
    assert_crash_is_reported(monitord, units, end=r"(\(signal\) )?")
    await_state(monitord, "frail", "up")
    changes = [line["MESSAGE"] for line in units.journal("--unit=monitord", "MONITOR=frail", since=since)]
    assert not [line for line in changes if "unknown" in line], changes


def test_reexecution_of_systemd_keeps_the_connection(monitord: Installed, units: Machine) -> None:
    watch(monitord, f'[monitors.frail]\nunit = "frail.service"\n{RARELY}')
    await_state(monitord, "frail", "up")
    since = units.now_in_journal()
    units.run("systemctl", "daemon-reexec")
    assert "pass" in units.run("monitorctl", "check", "frail").stdout
    messages = [entry["MESSAGE"] for entry in units.journal("--unit=monitord", since=since)]
    assert not [message for message in messages if "service manager" in message]


def test_timer_of_a_package_is_monitored_until_the_package_is_removed(
    monitord: Installed, units: Machine
) -> None:
    units.run("rm", WITHOUT_HOST)
    watch(monitord, "")
    packaged = "/usr/local/lib/systemd/system/packaged"
    units.write(f"{packaged}.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    units.write(f"{packaged}.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    units.run("systemctl", "enable", "--now", "packaged.timer")
    await_state(monitord, "host:timer:packaged.timer", "up")
    since = units.now_in_journal()
    units.shell(
        f"systemctl disable --now packaged.timer; rm {packaged}.service {packaged}.timer; systemctl daemon-reload"
    )
    await_state(monitord, "host:timer:packaged.timer", None)
    changes = units.journal("--unit=monitord", "MONITOR=host:timer:packaged.timer", since=since)
    assert "down" not in {entry.get("MONITOR_STATE") for entry in changes}


def test_failed_probe_of_a_container_is_not_a_failed_unit(monitord: Installed, units: Machine) -> None:
    units.run("rm", WITHOUT_HOST)
    watch(monitord, "")
    # Podman 5 adds a number to the id of the container.
    probe = f"{'b1ce31baf89868b6' * 4}-14ff8c86559e0c0e"
    units.run("systemd-run", f"--unit={probe}", "--wait", "/bin/false", ok=False)
    units.run("systemctl", "start", "broken.service", ok=False)
    await_state(monitord, "unit:broken.service", "down")
    assert state_of(monitord, f"unit:{probe}.service") is None
