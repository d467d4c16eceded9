"""A host is monitored right after the installation, without any configuration: the first results, and every fault.

The machine is a container: its clock belongs to the host, so that a stopped time synchronization cannot be seen here.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.bed import Machine, command, eventually
from tests.system.installed import FRAGMENT, Installed, is_check_line
from tests.system.test_package import install

FIRST_RESULTS_WITHIN_S = 60.0
"""Five seconds on an idle machine; the limit only ends a test that has failed already."""

ALWAYS = {"host:disk:/", "host:memory", "host:clock", "host:reboot"}

IMAGE, MOUNTED = "/root/data.img", "/srv/data"


def states(monitord: Installed) -> dict[str, str]:
    return {monitor["name"]: monitor["state"] for monitor in monitord.get("/monitors")["monitors"]}


def reasons(monitord: Installed) -> dict[str, Any]:
    """State and reason of each monitor that is not up."""
    return {
        monitor["name"]: (monitor["state"], (monitor.get("last_result") or {}).get("reason"))
        for monitor in monitord.get("/monitors")["monitors"]
        if monitor["state"] != "up"
    }


def seconds(entry: dict[str, Any]) -> float:
    return int(entry["__REALTIME_TIMESTAMP"]) / 1e6


@pytest.fixture
def fresh(fresh_machine: Machine) -> Installed:
    """The service as it is after the installation, with no edit."""
    install(fresh_machine)
    return Installed(fresh_machine)


def test_fresh_host_is_monitored_within_seconds_and_is_up(fresh: Installed) -> None:
    machine = fresh.machine
    eventually(lambda: states(fresh).keys() >= ALWAYS and set(states(fresh).values()) == {"up"})
    entries = [entry for entry in machine.journal("--unit=monitord") if is_check_line(entry)]
    first: dict[str, float] = {}
    for entry in entries:
        first.setdefault(entry["MONITOR"], seconds(entry))
    started = machine.journal("UNIT=monitord.service", "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf")
    assert started, "systemd reports that the unit has started"
    latest = max(first[name] for name in ALWAYS) - seconds(started[0])
    assert latest < FIRST_RESULTS_WITHIN_S
    assert {entry["MONITOR_VERDICT"] for entry in entries} == {"pass"}
    timers = {name for name in states(fresh) if name.startswith("host:timer:")}
    assert "host:timer:apt-daily.timer" in timers
    shown = machine.run("monitorctl", "status")
    assert "host:disk:/" in shown.stdout
    assert "host:disk:/" in fresh.ask("/", "--header", "Accept: text/html").stdout
    problems = [
        entry["MESSAGE"]
        for entry in machine.journal("--unit=monitord", "--priority=warning")
        if "host:" in entry["MESSAGE"] or "source" in entry["MESSAGE"]
    ]
    assert problems == []


@contextmanager
def file_system(machine: Machine, mount_point: str) -> Iterator[None]:
    """Mount an ext4 image of 64 MiB, if this host has loop devices."""
    mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip("mkfs.ext4 of e2fsprogs is not installed on this host")
    image = machine.root / IMAGE.lstrip("/")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    command(mkfs, "-q", "-F", "-m", "0", image)
    made = machine.shell(
        f"""
        mkdir -p {mount_point}
        test -e /dev/loop-control || mknod /dev/loop-control c 10 237
        for number in 0 1 2 3 4 5 6 7; do
            test -e /dev/loop$number || mknod /dev/loop$number b 7 $number
        done
        mount -o loop {IMAGE} {mount_point} && echo mounted || true
        """
    )
    if "mounted" not in made:
        pytest.skip("this host has no loop devices")
    try:
        yield
    finally:
        machine.run("umount", mount_point, ok=False)


def test_each_fault_is_reported_and_nothing_else(fresh: Installed) -> None:
    machine = fresh.machine
    eventually(lambda: states(fresh).keys() >= ALWAYS)
    with file_system(machine, MOUNTED):
        disk = f"host:disk:{MOUNTED}"
        eventually(lambda: states(fresh).get(disk) == "up")

        machine.shell(f"head --bytes=52M /dev/zero >{MOUNTED}/large")
        eventually(lambda: reasons(fresh).get(disk) == ("down", "disk_full"), within_s=180)

        machine.write("/etc/systemd/system/broken.service", "[Service]\nExecStart=/bin/false\n")
        machine.shell("systemctl daemon-reload; systemctl start broken.service")

        machine.shell(
            "touch --date='2 hours ago' /run/reboot-required; echo linux-image >/run/reboot-required.pkgs"
        )
        machine.shell(
            """
            mkdir -p /etc/letsencrypt/live/shop.test; chmod 0755 /etc/letsencrypt /etc/letsencrypt/live
            cd /etc/letsencrypt/live/shop.test
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 -subj /CN=shop.test \
                -keyout privkey.pem -out fullchain.pem 2>/dev/null
            # A certificate of five days that is valid for another one would be renewed in time.
            openssl x509 -in fullchain.pem -noout -checkend 432001 && exit 1 || true
            """
        )
        certificate = "host:certificate:/etc/letsencrypt/live/shop.test/fullchain.pem"
        machine.write(
            FRAGMENT,
            f'[auto.override."{certificate}"]\ndegraded_when = ["certificate.expires_in < 14d"]\n'
            '[auto.override."host:timer:*"]\nfail_after = 1\n',
        )
        fresh.systemctl("restart", "monitord")
        eventually(lambda: states(fresh).get("host:timer:apt-daily.timer") == "up")
        machine.run("systemctl", "stop", "apt-daily.timer")
        expected = {
            disk: ("down", "disk_full"),
            "unit:broken.service": ("down", "unit_failed"),
            "host:reboot": ("degraded", "reboot_required"),
            certificate: ("degraded", "condition_failed"),
            "host:timer:apt-daily.timer": ("down", "condition_failed"),
        }
        eventually(lambda: reasons(fresh) == expected, within_s=180)

        machine.shell(f"rm {MOUNTED}/large /run/reboot-required; systemctl start apt-daily.timer")
        eventually(lambda: states(fresh)[disk] == "up", within_s=120)
        machine.run("umount", MOUNTED)
        eventually(lambda: disk not in states(fresh))
    assert "down" not in {
        entry.get("MONITOR_STATE") for entry in machine.journal("--unit=monitord", "MONITOR=host:disk:/")
    }


def last_result(monitord: Installed, name: str) -> dict[str, Any]:
    """Return the last result of a monitor; empty if there is none."""
    found = [monitor for monitor in monitord.get("/monitors")["monitors"] if monitor["name"] == name]
    result: dict[str, Any] = (found[0].get("last_result") if found else None) or {}
    return result


def test_home_of_its_own_is_hidden_and_opened_by_the_documented_drop_in(fresh: Installed) -> None:
    machine = fresh.machine
    with file_system(machine, "/home"):
        fresh.systemctl("restart", "monitord")
        eventually(lambda: last_result(fresh, "host:disk:/home"))
        assert last_result(fresh, "host:disk:/home")["reason"] == "prober_forbidden"
        drop_in = "[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths=/home/lost+found\n"
        machine.write("/etc/systemd/system/monitord.service.d/home.conf", drop_in)
        machine.run("systemctl", "daemon-reload")
        fresh.systemctl("restart", "monitord")
        eventually(lambda: states(fresh).get("host:disk:/home/lost+found") == "up")
        assert last_result(fresh, "host:disk:/home/lost+found")["fields"]["disk.size"] < 64 << 20
        drop_in = "[Service]\nProtectHome=read-only\n"
        machine.write("/etc/systemd/system/monitord.service.d/home.conf", drop_in)
        machine.run("systemctl", "daemon-reload")
        fresh.systemctl("restart", "monitord")
        eventually(lambda: states(fresh).get("host:disk:/home") == "up")
        assert last_result(fresh, "host:disk:/home")["fields"]["disk.size"] < 64 << 20
        fresh.systemctl("stop", "monitord")
