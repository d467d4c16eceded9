"""The type `load`: averages, CPUs and pressure, and the default verdict."""

from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.host.kernel_files import KernelFiles
from monitord.monitors.host.load import Load, LoadMonitor, LoadOptions, evaluate, read_load
from tests.configurations import options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.hosts import NO_PRESSURE, kernel_files, with_conditions

LOADAVG = "1.00 2.00 4.00 3/812 4711\n"


def monitor(files: KernelFiles, *, up_when: str = "", degraded_when: str = "", **options: Any) -> LoadMonitor:
    settings = monitor_settings(type_name="load", options=LoadOptions(**options), timeout_s=60.0)
    settings = with_conditions(settings, LoadMonitor.vocabulary, up_when, degraded_when)
    return LoadMonitor(settings, fake_tools(FakeClock()), files, lambda: 2)


def verdict_of(monitor: LoadMonitor, observation: Observation) -> Verdict:
    return judge(observation, monitor.settings, None).verdict


def host_files(tmp_path: Path, loadavg: str = LOADAVG) -> KernelFiles:
    pressure: dict[str, Any] = {
        f"proc__pressure__{name}": NO_PRESSURE.replace("avg60=0.00", "avg60=12.50") for name in ("cpu", "io")
    }
    return kernel_files(tmp_path, proc__loadavg=loadavg, **pressure)


async def test_load_of_a_host_is_read(tmp_path: Path) -> None:
    observation = await monitor(host_files(tmp_path)).check()
    assert observation.reason is Reason.OK
    assert observation.detail == "load 1.00, 2.00, 4.00 on 2 CPUs, CPU pressure 12 %, I/O pressure 12 %"
    fields = observation.fields
    assert [fields[f"load.avg{minutes}"] for minutes in (1, 5, 15)] == [1.0, 2.0, 4.0]
    assert [fields[f"load.avg{minutes}_per_cpu"] for minutes in (1, 5, 15)] == [0.5, 1.0, 2.0]
    assert fields["pressure.io.full_avg60"] == 12.5
    assert "pressure.cpu.full_avg60" not in fields
    assert set(fields) == set(LoadMonitor.vocabulary.fields)


async def test_single_cpu_is_in_the_singular(tmp_path: Path) -> None:
    settings = monitor_settings(type_name="load", options=LoadOptions(), timeout_s=60.0)
    of_one = LoadMonitor(settings, fake_tools(FakeClock()), host_files(tmp_path), lambda: 1)
    assert (await of_one.check()).detail.startswith("load 1.00, 2.00, 4.00 on 1 CPU, ")


@pytest.mark.parametrize(
    ("cpu_max", "cpus"),
    [("max 100000\n", 8.0), ("150000 100000\n", 1.5), ("9000000 100000\n", 8.0), ("0 0\n", 8.0), ("", 8.0)],
)
def test_container_has_the_load_of_its_host_and_a_limit_of_processors(
    tmp_path: Path, cpu_max: str, cpus: float
) -> None:
    files = kernel_files(
        tmp_path, is_container=True, bound__loadavg="90.00 80.00 70.00 1/1 1\n", cgroup__cpu_dot_max=cpu_max
    )
    load = read_load(files, 8)
    assert load == Load((90.0, 80.0, 70.0), cpus, is_of_host=True)
    assert evaluate(load, LoadOptions()) is Reason.OK


def test_limit_of_the_root_group_counts_only_in_a_container(tmp_path: Path) -> None:
    load = read_load(kernel_files(tmp_path, proc__loadavg=LOADAVG, cgroup__cpu_dot_max="1 1"), 8)
    assert load is not None
    assert load.cpus == 8


@pytest.mark.parametrize("text", ["", "1.0 2.0", "a b c"])
def test_unreadable_file_has_no_load(tmp_path: Path, text: str) -> None:
    assert read_load(kernel_files(tmp_path, proc__loadavg=text), 1) is None


@pytest.mark.parametrize(
    ("averages", "reason"),
    [
        pytest.param((0.0, 0.0, 0.0), Reason.OK, id="idle"),
        pytest.param((400.0, 4.0, 1.0), Reason.OK, id="peak of a minute"),
        pytest.param((8.0, 8.0, 8.0), Reason.OK, id="four per CPU"),
        pytest.param((30.0, 30.0, 9.0), Reason.OK, id="high for a few minutes"),
        pytest.param((0.0, 5.0, 30.0), Reason.OK, id="over"),
        pytest.param((12.0, 12.0, 12.0), Reason.LOAD_HIGH, id="high"),
        pytest.param((0.0, 42.0, 42.0), Reason.OVERLOADED, id="overloaded"),
    ],
)
def test_load_has_its_default_verdict(averages: tuple[float, float, float], reason: Reason) -> None:
    assert evaluate(Load(averages, 2), LoadOptions()) is reason


def test_options_set_the_limits_of_the_default_verdict() -> None:
    load = Load((1.0, 2.0, 2.0), 2)
    assert evaluate(load, LoadOptions(warn_above=0.9)) is Reason.LOAD_HIGH
    assert evaluate(load, LoadOptions(warn_above=0.9, fail_above=0.9)) is Reason.OVERLOADED


@pytest.mark.parametrize(
    ("loadavg", "up_when", "degraded_when", "verdict"),
    [
        ("99 99 99", "", "", Verdict.FAIL),
        ("99 99 99", "load.cpus == 2", "", Verdict.PASS),
        ("12 12 12", "", "", Verdict.WARN),
        ("12 12 12", "", "load.avg15_per_cpu > 7", Verdict.PASS),
        ("12 12 12", "", "load.avg15_per_cpu > 5", Verdict.WARN),
        ("1 1 1", "pressure.io.full_avg60 < 10", "", Verdict.FAIL),
    ],
)
async def test_conditions_replace_the_default_verdict(
    tmp_path: Path, loadavg: str, up_when: str, degraded_when: str, verdict: Verdict
) -> None:
    checked = monitor(host_files(tmp_path, loadavg), up_when=up_when, degraded_when=degraded_when)
    assert verdict_of(checked, await checked.check()) is verdict


async def test_hidden_files_are_inconclusive(tmp_path: Path) -> None:
    checked = monitor(kernel_files(tmp_path))
    assert verdict_of(checked, await checked.check()) is Verdict.INCONCLUSIVE
    no_pressure = monitor(
        kernel_files(tmp_path, proc__loadavg=LOADAVG), degraded_when="pressure.cpu.some_avg10 > 5"
    )
    assert verdict_of(no_pressure, await no_pressure.check()) is Verdict.INCONCLUSIVE


async def test_condition_on_the_load_for_each_processor_is_inconclusive_in_a_container(
    tmp_path: Path,
) -> None:
    files = kernel_files(tmp_path, is_container=True, proc__loadavg=LOADAVG)
    checked = monitor(files, up_when="load.avg15_per_cpu < 5")
    observation = await checked.check()
    assert verdict_of(checked, observation) is Verdict.INCONCLUSIVE
    assert "those of its host" in observation.detail


async def test_load_of_this_host_is_read() -> None:
    settings = monitor_settings(type_name="load", options=LoadOptions(), timeout_s=60.0)
    checked = LoadMonitor(settings, fake_tools(FakeClock()))
    average = (await checked.check()).fields["load.avg15"]
    assert isinstance(average, float)
    assert average >= 0


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(LoadMonitor, tmp_path, 'type = "load"') == LoadOptions()
    assert options_of(LoadMonitor, tmp_path, "warn_above = 30") == LoadOptions(30.0, 120.0)
    assert options_of(LoadMonitor, tmp_path, "warn_above = 2\nfail_above = 3.5") == LoadOptions(2.0, 3.5)
