"""The service and the service manager: start, stop, restart, crashes and the watchdog."""

from tests.system.bed import FILES, eventually
from tests.system.installed import BLOCKING, FAILING, WATCHING, Installed

# Long enough for an event loop on a busy machine, short enough to wait for. RestartSec= gives the test the time to fix
# the configuration.
QUICK_WATCHDOG = "[Service]\nWatchdogSec=8\nRestartSec=5\n"
DROP_IN = "/etc/systemd/system/monitord.service.d/test.conf"


def test_checks_run_and_are_reported(monitord: Installed) -> None:
    monitord.configure(WATCHING + FAILING)
    monitord.systemctl("reload", "monitord")
    eventually(lambda: monitord.get("/monitors/web")["state"] == "up")
    eventually(lambda: monitord.get("/monitors/broken")["state"] == "down")
    status = monitord.get("/status")
    assert status["monitors"]["total"] == 2
    assert status["monitors"]["up"] == status["monitors"]["down"] == 1
    assert monitord.machine.run("monitorctl", "status", ok=False).returncode == 2


def test_stop_is_a_success_and_quick(monitord: Installed) -> None:
    since = monitord.machine.now_in_journal()
    monitord.systemctl("stop", "monitord.service")
    assert monitord.machine.show("monitord.service", "Result") == "success"
    assert monitord.machine.show("monitord.service", "ExecMainStatus") == "0"
    messages = [entry["MESSAGE"] for entry in monitord.machine.journal("--unit=monitord", since=since)]
    assert not [line for line in messages if "timed out" in line]


def test_status_text_counts_the_states(monitord: Installed) -> None:
    eventually(lambda: "1 up" in monitord.machine.show("monitord.service", "StatusText"))


def test_no_request_fails_across_restarts(monitord: Installed) -> None:
    with monitord.clients() as clients:
        for _ in range(2):
            monitord.systemctl("restart", "monitord.service")
    assert clients.failed == []
    assert clients.answered > 0


def test_checks_continue_after_a_restart(monitord: Installed) -> None:
    before = monitord.pid
    monitord.systemctl("restart", "monitord.service")
    assert monitord.pid != before
    monitord.await_check("web")


def test_killed_daemon_is_restarted(monitord: Installed) -> None:
    before, restarts = monitord.pid, monitord.restarts
    monitord.systemctl("kill", "--signal=KILL", "monitord.service")
    await_successor(monitord, before)
    assert monitord.restarts == restarts + 1
    assert monitord.get("/status")["state"] == "running"
    monitord.await_check("web")


def test_daemon_killed_five_times_is_still_restarted(monitord: Installed) -> None:
    for _ in range(5):
        before = monitord.pid
        monitord.systemctl("kill", "--signal=KILL", "monitord.service")
        await_successor(monitord, before)
    assert monitord.get("/status")["state"] == "running"


def test_watchdog_ends_a_stopped_process(monitord: Installed) -> None:
    restart_with_quick_watchdog(monitord)
    before, since = monitord.pid, monitord.machine.now_in_journal()
    monitord.systemctl("kill", "--signal=STOP", "monitord.service")
    assert_watchdog_restarted(monitord, before, since)


def test_watchdog_ends_a_blocked_event_loop(monitord: Installed) -> None:
    """A monitor type of another package blocks the event loop."""
    install_blocking_type(monitord)
    restart_with_quick_watchdog(monitord)
    before, since = monitord.pid, monitord.machine.now_in_journal()
    monitord.configure(WATCHING + BLOCKING)
    monitord.systemctl("reload", "monitord", ok=False)
    # The next start would block as well.
    monitord.configure(WATCHING)
    assert_watchdog_restarted(monitord, before, since)
    monitord.await_check("web")


def test_drop_in_changes_the_service(monitord: Installed) -> None:
    restart_with_quick_watchdog(monitord)
    assert monitord.machine.show("monitord.service", "WatchdogUSec") == "8s"


def test_nothing_is_left_in_the_control_group_after_stop(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service")
    assert "monitord.service" not in monitord.machine.run("systemd-cgls", "--no-pager").stdout


def test_daemon_starts_without_the_socket_unit(monitord: Installed) -> None:
    monitord.systemctl("stop", "monitord.service", "monitord.socket")
    monitord.systemctl("mask", "--runtime", "monitord.socket")
    try:
        monitord.systemctl("start", "monitord.service")
        assert monitord.get("/status")["state"] == "running"
        assert monitord.machine.shell("stat -c '%a %G' /run/monitord/status.sock").split() == [
            "660",
            "monitord",
        ]
    finally:
        monitord.systemctl("stop", "monitord.service")
        monitord.systemctl("unmask", "--runtime", "monitord.socket")


def test_instance_has_its_own_configuration_and_socket(monitord: Installed) -> None:
    monitord.machine.write("/etc/monitord/branch.toml", WATCHING.replace("monitors.web", "monitors.branch"))
    try:
        monitord.systemctl("start", "monitord@branch")
        result = monitord.machine.run(
            "monitorctl", "--socket", "/run/monitord@branch/status.sock", "status", "--json"
        )
        assert '"branch"' in result.stdout
        assert '"web"' not in result.stdout
        monitord.systemctl("reload", "monitord@branch")
    finally:
        monitord.systemctl("stop", "monitord@branch")
        monitord.machine.run("rm", "--recursive", "/etc/monitord")


TOKEN = "a-token-of-the-tests"

HUB = f"""
[status]
listen = "127.0.0.1:9120"

[status.tokens.branch]
token = "{TOKEN}"

[monitors.its-page]
url = "http://127.0.0.1:9121/healthz"
check_every = "1s"
timeout = "1s"
fail_after = 1

[monitors.its-heartbeat]
type = "heartbeat"
every = "1s"
grace = "3s"
"""

BRANCH = f"""
[status]
listen = "127.0.0.1:9121"

[monitors.report]
method = "POST"
url = "http://127.0.0.1:9120/heartbeats/its-heartbeat"
bearer_token = "{TOKEN}"
check_every = "1s"
timeout = "1s"
"""


def test_one_daemon_watches_another(monitord: Installed) -> None:
    """As in monitord(8): one checks the page of the other, the other sends heartbeats."""

    def states() -> list[str]:
        return [monitord.get(f"/monitors/{name}")["state"] for name in ("its-page", "its-heartbeat")]

    monitord.configure(WATCHING + HUB)
    monitord.systemctl("restart", "monitord")
    monitord.machine.write("/etc/monitord/branch.toml", BRANCH)
    try:
        monitord.systemctl("start", "monitord@branch")
        eventually(lambda: states() == ["up", "up"])
        monitord.systemctl("kill", "--signal=STOP", "monitord@branch")  # it exists, and does nothing
        eventually(lambda: states() == ["down", "down"])
        monitord.systemctl("kill", "--signal=CONT", "monitord@branch")
        eventually(lambda: states() == ["up", "up"])
    finally:
        monitord.systemctl("stop", "monitord@branch")
        monitord.machine.run("rm", "--recursive", "/etc/monitord")


def await_successor(monitord: Installed, before: int) -> None:
    """Wait until the manager has replaced a process."""
    eventually(lambda: monitord.pid not in {0, before} and monitord.state == "active", within_s=30)


def restart_with_quick_watchdog(monitord: Installed) -> None:
    monitord.machine.write(DROP_IN, QUICK_WATCHDOG)
    monitord.systemctl("daemon-reload")
    monitord.systemctl("restart", "monitord.service")


def install_blocking_type(monitord: Installed) -> None:
    packages = (
        "/usr/local/lib/"
        + monitord.machine.shell(
            "python3 -c 'import sys; print(f\"python3.{sys.version_info.minor}\")'"
        ).strip()
        + "/dist-packages"
    )
    monitord.machine.write(f"{packages}/blocking_monitor.py", (FILES / "blocking_monitor.py").read_text())
    about = f"{packages}/blocking_monitor-1.dist-info"
    monitord.machine.write(f"{about}/METADATA", "Metadata-Version: 2.1\nName: blocking-monitor\nVersion: 1\n")
    monitord.machine.write(
        f"{about}/entry_points.txt", "[monitord.monitors]\nblocking = blocking_monitor:BlockingMonitor\n"
    )


def assert_watchdog_restarted(monitord: Installed, before: int, since: int) -> None:
    await_successor(monitord, before)
    messages = [
        str(entry["MESSAGE"]) for entry in monitord.machine.journal("UNIT=monitord.service", since=since)
    ]
    assert [line for line in messages if "Watchdog timeout" in line], messages
    assert [line for line in messages if "result 'watchdog'" in line], messages
    assert monitord.restarts == 1
