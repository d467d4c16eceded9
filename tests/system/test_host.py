"""Monitors of the host itself, from the sandbox of the service, which hides most of /proc.

The machine is a container, and the test bed has no cgroup controllers: neither memory nor tasks of a unit are counted.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.bed import eventually
from tests.system.installed import WATCHING, Installed

CONFIG = (
    WATCHING
    + """
[monitors.memory]
type = "memory"
[monitors.memory-pressure]
type = "memory"
up_when = ["pressure.memory.full_avg300 <= 100"]
[monitors.load]
type = "load"
[monitors.io-pressure]
type = "load"
up_when = ["pressure.io.full_avg300 <= 100"]
[monitors.clock]
type = "clock"
[monitors.clock-condition]
type = "clock"
up_when = ["clock.synchronized == true"]
[monitors.unit-processes]
type = "process"
unit = "systemd-journald"
[monitors.named-processes]
type = "process"
name = "systemd-journal"
[monitors.cpu-time]
unit = "systemd-journald"
up_when = ["unit.cpu_percent < 1000000"]
check_every = "1s"
timeout = "1s"
"""
)

DROP_IN = "/etc/systemd/system/monitord.service.d/processes.conf"


def result_of(monitord: Installed, name: str) -> dict[str, Any]:
    """The last result of a monitor, when there is one."""
    found: dict[str, Any] = eventually(lambda: monitord.get(f"/monitors/{name}")["last_result"])
    return found


@pytest.fixture
def host(monitord: Installed) -> Iterator[Installed]:
    monitord.configure(CONFIG)
    monitord.systemctl("reload", "monitord")
    yield monitord
    if monitord.machine.run("rm", DROP_IN, ok=False).returncode == 0:
        monitord.systemctl("daemon-reload")
        monitord.systemctl("restart", "monitord")


def test_memory_is_that_of_the_machine(host: Installed) -> None:
    lines = host.machine.run("cat", "/proc/meminfo").stdout.splitlines()
    total_kb = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    result = result_of(host, "memory")
    assert result["verdict"] == "pass"
    assert result["fields"]["memory.total"] == total_kb * 1024
    assert 0 < result["fields"]["memory.available"] <= total_kb * 1024


def test_load_of_a_container_is_not_compared(host: Installed) -> None:
    result = result_of(host, "load")
    assert result["verdict"] == "pass"
    assert result["fields"]["load.avg15"] >= 0
    assert "load.avg15_per_cpu" not in result["fields"]


@pytest.mark.parametrize("name", ["memory-pressure", "io-pressure"])
def test_pressure_is_readable(host: Installed, name: str) -> None:
    if host.machine.run("test", "-r", "/proc/pressure/io", ok=False).returncode != 0:
        pytest.skip("the kernel has no pressure stall information")
    assert result_of(host, name)["verdict"] == "pass"


def test_clock_of_a_container_is_not_a_problem(host: Installed) -> None:
    assert result_of(host, "clock")["verdict"] == "pass"
    assert result_of(host, "clock-condition")["verdict"] == "inconclusive"


def test_processes_of_a_unit_need_no_permission(host: Installed) -> None:
    result = result_of(host, "unit-processes")
    assert (result["verdict"], result["fields"]["process.count"]) == ("pass", 1)


def test_processes_by_name_need_a_drop_in(host: Installed) -> None:
    result = result_of(host, "named-processes")
    assert (result["verdict"], result["reason"]) == ("inconclusive", "prober_forbidden")
    host.machine.write(DROP_IN, "[Service]\nProtectProc=default\n")
    host.systemctl("daemon-reload")
    host.systemctl("restart", "monitord")
    counted = eventually(lambda: result_of(host, "named-processes")["fields"].get("process.count"))
    assert counted == 1


def test_cpu_time_of_a_unit_is_known_from_the_second_check_on(host: Installed) -> None:
    assert eventually(lambda: result_of(host, "cpu-time")["fields"].get("unit.cpu_percent") is not None)


def test_sandbox_hides_other_files_of_proc(host: Installed) -> None:
    pid = host.machine.show("monitord", "MainPID")
    seen = host.machine.shell(f"nsenter --target={pid} --mount ls /run/monitord-host /proc")
    assert {"loadavg", "meminfo"} <= set(seen.split())
    assert not {"stat", "kallsyms", "sys"} & set(seen.split())
