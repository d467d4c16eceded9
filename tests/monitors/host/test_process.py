"""The type `process`: processes of a unit over D-Bus, and processes by name or pattern from /proc."""

import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.host.kernel_files import KernelFiles
from monitord.monitors.host.process import ProcessMonitor, ProcessOptions
from tests.buses import FakeUnit, resources, service
from tests.configurations import errors_of, options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.hosts import kernel_files, process_files, with_conditions
from tests.systemds import Bench, MovedClock, a_host

NGINX = "nginx.service"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def monitor(
    files: KernelFiles, clock: FakeClock | None = None, *, up_when: str = "", **options: Any
) -> ProcessMonitor:
    settings = monitor_settings(type_name="process", options=ProcessOptions(**options), timeout_s=60.0)
    settings = with_conditions(settings, ProcessMonitor.vocabulary, up_when)
    return ProcessMonitor(settings, fake_tools(clock or FakeClock()), files)


def verdict_of(monitor: ProcessMonitor, observation: Observation) -> Verdict:
    return judge(observation, monitor.settings, None).verdict


@pytest.fixture
def files(tmp_path: Path) -> KernelFiles:
    """A host with three processes."""
    proc = tmp_path / "proc"
    process_files(proc, 1, "systemd", "/sbin/init")
    process_files(proc, 10, "nginx", "nginx: master", cpu_ticks=2 * TICKS, pages=100)
    process_files(proc, 11, "nginx", "nginx: worker", cpu_ticks=4 * TICKS, pages=300)
    return kernel_files(tmp_path)


# By name or pattern


@pytest.mark.parametrize(
    ("options", "count", "reason"),
    [
        ({"name": "nginx"}, 2, Reason.OK),
        ({"name": "ngin"}, 0, Reason.TOO_FEW_PROCESSES),
        ({"pattern": "^nginx: worker$"}, 1, Reason.OK),
        ({"pattern": "nginx", "at_least": 3}, 2, Reason.TOO_FEW_PROCESSES),
        ({"name": "nginx", "at_most": 1}, 2, Reason.TOO_MANY_PROCESSES),
        ({"name": "malware", "at_least": 0, "at_most": 0}, 0, Reason.OK),
    ],
)
async def test_processes_are_counted(
    files: KernelFiles, options: dict[str, Any], count: int, reason: Reason
) -> None:
    observation = await monitor(files, **options).check()
    assert observation.fields["process.count"] == count
    assert observation.reason is reason


async def test_memory_and_age_of_processes_are_reported(files: KernelFiles) -> None:
    observation = await monitor(files, name="nginx").check()
    assert observation.fields["process.rss"] == 400 * PAGE
    age = observation.fields["process.age"]
    assert isinstance(age, float)
    assert age >= 0
    assert "process.cpu_percent" not in observation.fields
    assert "process.pss" not in observation.fields
    assert observation.detail.startswith("name nginx: 2 processes, ")


async def test_long_name_is_compared_as_truncated_by_the_kernel(files: KernelFiles) -> None:
    process_files(files.proc, 12, "systemd-network", "/lib/systemd/systemd-networkd")
    assert (await monitor(files, name="systemd-networkd").check()).fields["process.count"] == 1


async def test_cpu_time_is_that_since_the_previous_check(files: KernelFiles) -> None:
    clock = FakeClock()
    checked = monitor(files, clock, name="nginx")
    await checked.check()
    clock.skipped_s = 1_000_000.0
    process_files(files.proc, 10, "nginx", cpu_ticks=500_002 * TICKS, pages=1)
    percent = (await checked.check()).fields["process.cpu_percent"]
    assert isinstance(percent, float)
    assert round(percent) == 50
    # Its number was given to another process, which has used less.
    clock.skipped_s = 2_000_000.0
    process_files(files.proc, 10, "nginx", cpu_ticks=TICKS, start_ticks=900, pages=1)
    percent = (await checked.check()).fields["process.cpu_percent"]
    assert isinstance(percent, float)
    assert 0 <= percent < 1


async def test_condition_on_cpu_time_is_inconclusive_in_the_first_check(files: KernelFiles) -> None:
    clock = FakeClock()
    checked = monitor(files, clock, name="nginx", up_when="process.cpu_percent < 50")
    first = await checked.check()
    assert (first.reason, verdict_of(checked, first)) == (Reason.PROBER_MEASURING, Verdict.INCONCLUSIVE)
    clock.skipped_s = 60.0
    assert verdict_of(checked, await checked.check()) is Verdict.PASS


async def test_up_when_replaces_the_expected_number(files: KernelFiles) -> None:
    checked = monitor(files, name="nginx", at_least=5, up_when="process.count == 2")
    assert verdict_of(checked, await checked.check()) is Verdict.PASS


async def test_hidden_processes_are_inconclusive(tmp_path: Path) -> None:
    process_files(tmp_path / "proc", 10, "monitord")
    checked = monitor(kernel_files(tmp_path), name="nginx")
    observation = await checked.check()
    assert verdict_of(checked, observation) is Verdict.INCONCLUSIVE
    assert "ProtectProc=default" in observation.detail


async def test_proportional_set_size_without_permission_is_inconclusive(files: KernelFiles) -> None:
    checked = monitor(files, name="nginx", up_when="process.pss < 1GiB")
    assert verdict_of(checked, await checked.check()) is Verdict.INCONCLUSIVE
    for pid in (10, 11):
        (files.proc / str(pid) / "smaps_rollup").write_text("00-ff ---p 0 00:00 0 [rollup]\nPss:     8 kB\n")
    observation = await checked.check()
    assert observation.fields["process.pss"] == 16 * 1024
    assert verdict_of(checked, observation) is Verdict.PASS


# Of a unit


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_host(tmp_path) as bench:
        unit = service(**resources(ExecMainStartTimestamp=ago(600)))
        unit.processes = [10, 11]
        bench.systemd.units[NGINX] = unit
        yield bench


def ago(seconds: float) -> int:
    return int((datetime.now(UTC) - timedelta(seconds=seconds)).timestamp() * 1e6)


def of_unit(
    host: Bench, files: KernelFiles, *up_when: str, clock: MovedClock | None = None, keys: str = ""
) -> ProcessMonitor:
    configured = host.monitor(f'type = "process"\nunit = "nginx"\n{keys}', *up_when, clock=clock)
    assert isinstance(configured, ProcessMonitor)
    return ProcessMonitor(configured.settings, configured.tools, files)


async def test_processes_of_a_unit_need_no_proc(host: Bench, tmp_path: Path) -> None:
    stat: dict[str, Any] = {
        "cgroup__system_dot_slice__nginx_dot_service__memory_dot_stat": "anon 4096\nfile 99\nfile_mapped 1024\n"
    }
    observation = await of_unit(host, kernel_files(tmp_path / "files", **stat)).check()
    assert observation.reason is Reason.OK
    assert observation.fields["process.count"] == 2
    assert observation.fields["process.rss"] == 5120
    age = observation.fields["process.age"]
    assert isinstance(age, float)
    assert age >= 600
    assert observation.detail.startswith("processes of nginx.service: 2 processes, 5 KiB resident, since ")


async def test_cpu_time_of_a_unit_is_never_negative(host: Bench, tmp_path: Path) -> None:
    clock, properties = MovedClock(), host.systemd.units[NGINX].properties
    checked = of_unit(host, kernel_files(tmp_path / "files"), clock=clock)
    properties["CPUUsageNSec"] = 50_000_000_000
    await checked.check()
    clock.ahead_s += 1_000_000.0
    properties["CPUUsageNSec"] += 100_000_000_000_000
    percent = (await checked.check()).fields["process.cpu_percent"]
    assert isinstance(percent, float)
    assert round(percent) == 10
    clock.ahead_s += 1_000_000.0
    properties |= {"InvocationID": bytes(15) + b"1", "CPUUsageNSec": 1_000_000_000}
    percent = (await checked.check()).fields["process.cpu_percent"]
    assert isinstance(percent, float)
    assert 0 <= percent < 1


async def test_unit_that_is_not_loaded_has_no_processes(host: Bench, tmp_path: Path) -> None:
    host.systemd.units.clear()
    checked = of_unit(host, kernel_files(tmp_path / "files"))
    observation = await checked.check()
    assert (observation.reason, observation.fields["process.count"]) == (Reason.TOO_FEW_PROCESSES, 0)
    assert observation.detail == "processes of nginx.service: no process, at least 1 expected"


async def test_memory_that_is_not_counted_is_inconclusive_for_its_condition(
    host: Bench, tmp_path: Path
) -> None:
    checked = of_unit(host, kernel_files(tmp_path / "files"), "process.rss < 1GiB")
    assert verdict_of(checked, await checked.check()) is Verdict.INCONCLUSIVE


async def test_service_manager_that_does_not_respond_is_inconclusive(host: Bench, tmp_path: Path) -> None:
    checked = of_unit(host, kernel_files(tmp_path / "files"))
    host.systemd.answer = host.systemd.denied
    assert verdict_of(checked, await checked.check()) is Verdict.INCONCLUSIVE


async def test_scope_has_processes_and_a_timer_has_none(host: Bench, tmp_path: Path) -> None:
    scope = {key: value for key, value in resources().items() if key != "ExecMainStartTimestamp"}
    host.systemd.units["session-1.scope"] = FakeUnit(properties=scope, processes=[5])
    checked = host.monitor('type = "process"\nunit = "session-1.scope"')
    assert (await checked.check()).fields["process.count"] == 1
    (error,) = errors_of(tmp_path, '[monitors.a]\ntype = "process"\nunit = "backup.timer"\n')
    assert "is a unit without processes" in error


# Options


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(ProcessMonitor, tmp_path, 'unit = "nginx"') == ProcessOptions(unit="nginx.service")
    keys = 'name = "nginx"\nat_least = 2\nat_most = 8'
    assert options_of(ProcessMonitor, tmp_path, keys) == ProcessOptions(name="nginx", at_least=2, at_most=8)
    assert options_of(ProcessMonitor, tmp_path, "pattern = 'a b'") == ProcessOptions(pattern="a b")


async def test_process_of_this_host_passes(files: KernelFiles) -> None:
    pattern = f"^{re.escape(sys.orig_argv[0])}"
    checked = monitor(replace(files, proc=Path("/proc")), pattern=pattern)
    observation = await checked.check()
    if observation.reason is Reason.PROBER_FORBIDDEN:
        pytest.skip("processes of other users are hidden")
    count = observation.fields["process.count"]
    assert isinstance(count, int)
    assert count >= 1
