"""The life of the package: installation, upgrade, removal, purge."""

import json
import re
from pathlib import Path

from tests.system.bed import CACHE, Machine, copy_of, remove, run_in_root
from tests.system.conftest import copy_in
from tests.system.installed import FRAGMENT, WATCHING, Installed, constant_requests
from tests.system.packages import next_version

# Files of the package manager and of a running system, not of the package.
BOOKKEEPING = (
    "/var/lib/dpkg/",
    "/var/lib/apt/",
    "/var/lib/systemd/deb-systemd-helper",
    "/var/lib/systemd/timers",
    "/var/cache/",
    "/var/log/",
    "/root/",
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
)


def apt(machine: Machine, *words: str) -> str:
    """Run apt-get. Returns its output, which must contain no warning and no error."""
    done = machine.run("apt-get", "--yes", "--quiet", *words, within_s=300)
    # Expected of a service with a socket unit.
    messages = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "it can still be activated by" not in line
    ]
    assert not [line for line in messages if re.search("warning|error", line, re.IGNORECASE)], done.stderr
    return done.stdout


def install(machine: Machine, *options: str) -> None:
    machine.shell(f"apt-get --yes {' '.join(options)} install /root/monitord_*.deb", within_s=300)


def test_purge_leaves_nothing(fresh_machine: Machine) -> None:
    before = fresh_machine.files()
    install(fresh_machine)
    fresh_machine.write(FRAGMENT, WATCHING)
    fresh_machine.run("systemctl", "restart", "monitord")
    apt(fresh_machine, "remove", "monitord")
    assert (
        fresh_machine.run("systemctl", "is-active", "monitord", "monitord.socket", ok=False).returncode != 0
    )
    for kept in ("/etc/monitord.toml", FRAGMENT, "/var/lib/monitord"):
        assert (fresh_machine.root / kept.lstrip("/")).exists(), kept
    apt(fresh_machine, "purge", "monitord")
    left = {path for path in fresh_machine.files() - before if not path.startswith(BOOKKEEPING)}
    assert left == set()
    assert not fresh_machine.shell("ls /run | grep monitord || true")
    assert (
        fresh_machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "monitord*").stdout
        == ""
    )


def test_reinstallation_keeps_the_configuration(fresh_machine: Machine) -> None:
    install(fresh_machine)
    fresh_machine.write(FRAGMENT, WATCHING)
    apt(fresh_machine, "remove", "monitord")
    install(fresh_machine)
    installed = Installed(fresh_machine)
    assert installed.state == "active"
    assert "web" in {monitor["name"] for monitor in installed.get("/monitors")["monitors"]}


def test_upgrade_keeps_configuration_and_fails_no_request(fresh_machine: Machine, deb: Path) -> None:
    install(fresh_machine)
    installed = Installed(fresh_machine)
    fresh_machine.write(FRAGMENT, WATCHING)
    fresh_machine.shell("echo '# mine' >>/etc/monitord.toml && systemctl reload monitord")
    before, version = installed.pid, installed.get("/status")["version"]
    newer = next_version(deb, fresh_machine.root / "root")
    with constant_requests(fresh_machine) as clients:
        apt(fresh_machine, "install", f"/root/{newer.name}")
    assert clients.failed == []
    assert clients.answered > 0
    assert installed.get("/status")["version"] == f"{version}.next"
    assert installed.pid != before
    assert installed.restarts == 0
    assert fresh_machine.show("monitord.service", "NeedDaemonReload") == "no"
    assert "# mine" in fresh_machine.run("tail", "-n", "1", "/etc/monitord.toml").stdout
    assert fresh_machine.shell("stat -c '%a %U:%G' /etc/monitord.toml").strip() == "640 root:monitord"
    assert "web" in {monitor["name"] for monitor in installed.get("/monitors")["monitors"]}
    # The downgrade.
    fresh_machine.run("apt-get", "--yes", "--allow-downgrades", "install", f"/root/{deb.name}")
    assert installed.get("/status")["version"] == version


def test_upgrade_leaves_a_disabled_service_disabled(fresh_machine: Machine, deb: Path) -> None:
    install(fresh_machine)
    fresh_machine.run("systemctl", "disable", "--now", "monitord.service", "monitord.socket")
    newer = next_version(deb, fresh_machine.root / "root")
    apt(fresh_machine, "install", f"/root/{newer.name}")
    for unit in ("monitord.service", "monitord.socket"):
        assert fresh_machine.run("systemctl", "is-enabled", unit, ok=False).stdout.strip() == "disabled"
        assert fresh_machine.run("systemctl", "is-active", unit, ok=False).stdout.strip() == "inactive"


def test_masked_service_installs_and_does_not_start(fresh_machine: Machine) -> None:
    fresh_machine.run("systemctl", "mask", "monitord.service")
    install(fresh_machine)
    assert fresh_machine.show("monitord.service", "ActiveState") == "inactive"
    assert fresh_machine.has_package("monitord")


def test_package_in_an_image_starts_at_the_first_boot(suite: str, bare_root: Path, deb: Path) -> None:
    """As when an image is built: without recommended packages, and without Python before."""
    root = copy_of(bare_root, CACHE / "run" / suite / "image")
    try:
        copy_in(deb, root)
        script = "apt-get --yes --no-install-recommends install /root/monitord_*.deb"
        run_in_root(root, "sh", "-c", script, within_s=300)
        with Machine(root, suite) as machine:
            installed = Installed(machine)
            assert installed.state == "active"
            assert installed.get("/status")["state"] == "running"
            assert not machine.has_package("python3-uvloop")
            status = machine.run("systemctl", "is-system-running", ok=False).stdout.strip()
            assert status == "running"
    finally:
        remove(root)


def test_power_off_is_quick_and_clean(suite: str, ready_root: Path, deb: Path) -> None:
    root = copy_of(ready_root, CACHE / "run" / suite / "restarted")
    try:
        copy_in(deb, root)
        with Machine(root, suite) as machine:
            install(machine)
            machine.write(FRAGMENT, WATCHING)
            machine.run("systemctl", "restart", "monitord")
            machine.shell("mkdir -p /var/log/journal && systemctl restart systemd-journald")
            machine.power_off()
            machine.boot()
            assert Installed(machine).state == "active"
            output = machine.run("journalctl", "--boot=-1", "--output=json", "UNIT=monitord.service").stdout
            lines = [str(json.loads(line)["MESSAGE"]) for line in output.splitlines()]
            assert [line for line in lines if "Stopped" in line], lines
            assert not [line for line in lines if "timed out" in line or "Failed" in line], lines
    finally:
        remove(root)
