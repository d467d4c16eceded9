"""The type `memory`: values of hosts and containers, and the default verdict."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.dispatch.judging import judge
from monitord.model import Observation, Reason, Verdict
from monitord.monitors.host.kernel_files import KernelFiles
from monitord.monitors.host.memory import Memory, MemoryMonitor, MemoryOptions, evaluate, read_memory
from tests.configurations import options_of
from tests.fakes import FakeClock, fake_tools, monitor_settings
from tests.hosts import MEMINFO, NO_PRESSURE, kernel_files, with_conditions

KB = 1024
GB = 1 << 30
MB = 1 << 20

# Of real machines, shortened.
LINUX_6_1 = """\
MemTotal:       16308248 kB
MemFree:          393368 kB
MemAvailable:   13029912 kB
Buffers:          511020 kB
Cached:         11880420 kB
SwapTotal:        999420 kB
SwapFree:         998644 kB
Zswap:                 0 kB
CommitLimit:     9153544 kB
HugePages_Total:       0
Hugepagesize:       2048 kB
Hugetlb:               0 kB
DirectMap4k:      284456 kB
"""
LINUX_6_12 = LINUX_6_1 + "Balloon:               0 kB\nUnaccepted:            0 kB\n"
LXCFS = """\
MemTotal:         524288 kB
MemFree:          310200 kB
MemAvailable:     401200 kB
Buffers:               0 kB
Cached:            91000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
"""


def monitor(
    files: KernelFiles, *, up_when: str = "", degraded_when: str = "", **options: Any
) -> MemoryMonitor:
    settings = monitor_settings(type_name="memory", options=MemoryOptions(**options), timeout_s=60.0)
    return MemoryMonitor(
        with_conditions(settings, MemoryMonitor.vocabulary, up_when, degraded_when),
        fake_tools(FakeClock()),
        files,
    )


def verdict_of(monitor: MemoryMonitor, observation: Observation) -> Verdict:
    return judge(observation, monitor.settings, None).verdict


# Reading


@pytest.mark.parametrize("text", [LINUX_6_1, LINUX_6_12], ids=["6.1", "6.12"])
def test_memory_of_a_host_is_read(tmp_path: Path, text: str) -> None:
    files = kernel_files(tmp_path, proc__meminfo=text, proc__pressure__memory=NO_PRESSURE)
    memory = read_memory(files)
    assert memory is not None
    assert (memory.total, memory.available) == (16308248 * KB, 13029912 * KB)
    assert (memory.swap_total, memory.swap_used) == (999420 * KB, 776 * KB)
    assert memory.pressure["full_avg300"] == 0.0
    assert not memory.is_limited


def test_huge_pages_are_not_part_of_the_total(tmp_path: Path) -> None:
    """A database server reserves most of its memory: only the rest is compared."""
    text = MEMINFO.replace("Hugetlb:               0", "Hugetlb:         7000000")
    memory = read_memory(kernel_files(tmp_path, proc__meminfo=text.replace("6000000 kB\nB", "800000 kB\nB")))
    assert memory is not None
    assert (memory.total, memory.available) == (1000000 * KB, 800000 * KB)


def test_cache_of_zfs_is_available(tmp_path: Path) -> None:
    arcstats = "13 1 0x01 147 39984 4532 5000\nname type data\nsize 4 1024000000\nc_min 4 24000000\n"
    files = kernel_files(tmp_path, proc__meminfo=MEMINFO, bound__spl__kstat__zfs__arcstats=arcstats)
    memory = read_memory(files)
    assert memory is not None
    assert memory.available == 6000000 * KB + 1_000_000_000
    (tmp_path / "container").write_text("lxc\n")
    in_container = read_memory(files)
    assert in_container is not None
    assert in_container.available == 6000000 * KB


@pytest.mark.parametrize(
    "text", ["", "MemTotal: 5 kB\n", "nothing of the kind\n"], ids=["hidden", "no MemAvailable", "other file"]
)
def test_unreadable_meminfo_has_no_memory(tmp_path: Path, text: str) -> None:
    assert read_memory(kernel_files(tmp_path, proc__meminfo=text)) is None


def test_limit_of_the_container_is_the_total(tmp_path: Path) -> None:
    files = kernel_files(
        tmp_path,
        proc__meminfo=MEMINFO,
        cgroup__memory_dot_max="1000000000\n",
        cgroup__memory_dot_high="max\n",
        cgroup__memory_dot_current="900000000\n",
        cgroup__memory_dot_stat="anon 100000000\nactive_file 300000000\ninactive_file 200000000\n"
        "slab_reclaimable 50000000\n",
        cgroup__memory_dot_swap_dot_max="500000000\n",
        cgroup__memory_dot_swap_dot_current="1000\n",
        cgroup__memory_dot_pressure="some avg10=5.00 avg60=4.00 avg300=3.00 total=9\n",
        proc__pressure__memory=NO_PRESSURE,
    )
    memory = read_memory(files)
    assert memory == Memory(
        1000000000,
        650000000,
        500000000,
        1000,
        {"some_avg10": 5.0, "some_avg60": 4.0, "some_avg300": 3.0},
        is_limited=True,
    )


def test_container_has_no_more_available_memory_than_its_host(tmp_path: Path) -> None:
    files = kernel_files(
        tmp_path,
        proc__meminfo=MEMINFO.replace("MemAvailable:    6000000", "MemAvailable:      10000"),
        cgroup__memory_dot_high="1000000000\n",
        cgroup__memory_dot_current="0\n",
    )
    memory = read_memory(files)
    assert memory is not None
    assert (memory.total, memory.available) == (1000000000, 10000 * KB)


def test_values_of_lxcfs_are_used_as_they_are(tmp_path: Path) -> None:
    files = kernel_files(
        tmp_path,
        proc__meminfo=LXCFS,
        cgroup__memory_dot_max=f"{512 * MB}\n",
        cgroup__memory_dot_current=f"{200 * MB}\n",
    )
    memory = read_memory(files)
    assert memory == Memory(524288 * KB, 401200 * KB)


# The default verdict

BUSY = Memory(16 * GB, 4 * GB, pressure={"some_avg300": 80.0, "full_avg60": 60.0})


@pytest.mark.parametrize(
    ("memory", "reason"),
    [
        pytest.param(Memory(16 * GB, 12 * GB), Reason.OK, id="much available"),
        pytest.param(BUSY, Reason.OK, id="one control group waits at its limit"),
        pytest.param(Memory(512 * GB, 20 * GB), Reason.OK, id="4 % of a large host"),
        pytest.param(Memory(16 * GB, GB // 2, 8 * GB, 2 * GB), Reason.OK, id="swap space is left"),
        pytest.param(
            Memory(16 * GB, GB // 2, 8 * GB, 2 * GB, {"some_avg300": 1.0, "full_avg60": 0.0}),
            Reason.OK,
            id="swap space is left, and nothing waits",
        ),
        pytest.param(
            Memory(16 * GB, GB // 2, 8 * GB, 2 * GB, {"some_avg300": 10.0}),
            Reason.MEMORY_LOW,
            id="tasks wait",
        ),
        pytest.param(Memory(16 * GB, GB // 2), Reason.MEMORY_LOW, id="little available, no swap"),
        pytest.param(Memory(16 * GB, GB // 2, 8 * GB, 7 * GB), Reason.MEMORY_LOW, id="little swap left"),
        pytest.param(Memory(16 * GB, 200 * MB), Reason.MEMORY_EXHAUSTED, id="exhausted, no swap"),
        pytest.param(
            Memory(16 * GB, 200 * MB, 8 * GB, 8 * GB), Reason.MEMORY_EXHAUSTED, id="exhausted with swap"
        ),
        pytest.param(Memory(16 * GB, 200 * MB, 8 * GB, 4 * GB), Reason.OK, id="half of the swap is left"),
        pytest.param(
            Memory(16 * GB, GB, 8 * GB, 4 * GB, {"full_avg60": 20.0}), Reason.MEMORY_EXHAUSTED, id="thrashing"
        ),
        pytest.param(Memory(512 * GB, GB), Reason.MEMORY_LOW, id="1 GiB of a large host"),
        pytest.param(Memory(512 * GB, GB // 4), Reason.MEMORY_EXHAUSTED, id="256 MiB of a large host"),
        pytest.param(Memory(1 * GB, 60 * MB), Reason.OK, id="small host"),
    ],
)
def test_memory_has_its_default_verdict(memory: Memory, reason: Reason) -> None:
    assert evaluate(memory, MemoryOptions())[0] is reason


def test_options_set_the_limits_of_the_default_verdict() -> None:
    memory = Memory(512 * GB, 100 * GB)
    assert evaluate(memory, MemoryOptions(warn_below=20))[0] is Reason.MEMORY_LOW
    assert evaluate(memory, MemoryOptions(warn_below=20, fail_below=20))[0] is Reason.MEMORY_EXHAUSTED
    assert evaluate(memory, MemoryOptions(warn_below=19.5))[0] is Reason.OK


# Checks


async def test_page_cache_is_not_used_memory(tmp_path: Path) -> None:
    files = kernel_files(tmp_path, proc__meminfo=MEMINFO, proc__pressure__memory=NO_PRESSURE)
    observation = await monitor(files).check()
    assert observation.reason is Reason.OK
    assert observation.detail == (
        "5.72 GiB of 7.63 GiB available, 488 MiB of 1.91 GiB swap used, memory pressure 0 %"
    )
    assert observation.fields["memory.available_percent"] == 75.0
    assert observation.fields["memory.swap_used_percent"] == 25.0
    assert set(observation.fields) == set(MemoryMonitor.vocabulary.fields)


async def test_hidden_meminfo_is_inconclusive(tmp_path: Path) -> None:
    checked = monitor(kernel_files(tmp_path))
    observation = await checked.check()
    assert observation.reason is Reason.PROBER_FORBIDDEN
    assert "see SANDBOX in monitord(8)" in observation.detail
    assert verdict_of(checked, observation) is Verdict.INCONCLUSIVE


async def test_condition_on_a_missing_pressure_is_inconclusive(tmp_path: Path) -> None:
    files = kernel_files(tmp_path, proc__meminfo=MEMINFO)
    for key in ("up_when", "degraded_when"):
        checked = monitor(files, **{key: "pressure.memory.full_avg10 < 5"})
        assert verdict_of(checked, await checked.check()) is Verdict.INCONCLUSIVE
    assert (await monitor(files, up_when="memory.total > 0").check()).reason is Reason.OK


@pytest.mark.parametrize(
    ("available", "up_when", "degraded_when", "verdict"),
    [
        pytest.param(100, "", "", Verdict.FAIL, id="exhausted"),
        pytest.param(100, "memory.total > 0", "", Verdict.PASS, id="up_when replaces the failure"),
        pytest.param(100, "", "memory.total < 0", Verdict.FAIL, id="degraded_when does not"),
        pytest.param(300000, "", "", Verdict.WARN, id="low"),
        pytest.param(300000, "memory.total > 0", "", Verdict.WARN, id="up_when does not replace the warning"),
        pytest.param(300000, "", "memory.total < 0", Verdict.PASS, id="degraded_when replaces it"),
    ],
)
async def test_conditions_replace_the_default_verdict(
    tmp_path: Path, available: int, up_when: str, degraded_when: str, verdict: Verdict
) -> None:
    if "< 0" in degraded_when:
        degraded_when = "memory.available_percent > 99"
    text = f"MemTotal: 8000000 kB\nMemAvailable: {available} kB\n"
    checked = monitor(
        kernel_files(tmp_path, proc__meminfo=text), up_when=up_when, degraded_when=degraded_when
    )
    assert verdict_of(checked, await checked.check()) is verdict


async def test_file_that_hangs_is_inconclusive(tmp_path: Path) -> None:
    files = kernel_files(tmp_path, bound__other="")
    pipe = tmp_path / "bound" / "meminfo"
    os.mkfifo(pipe)
    checked = monitor(files)
    checked.settings = replace(checked.settings, timeout_s=0.0)
    try:
        observation = await checked.check()
    finally:
        # Let the thread end: its open(2) waits for a writer.
        with pipe.open("w") as writer:
            writer.write("")
        await checked.tools.blocking.run("meminfo", bool, timeout_s=60.0)
    assert observation.reason is Reason.PROBER_EXHAUSTED


async def test_memory_of_this_host_is_read() -> None:
    observation = await monitor(KernelFiles(), up_when="memory.total > 0").check()
    total, available = observation.fields["memory.total"], observation.fields["memory.available"]
    assert isinstance(total, int)
    assert isinstance(available, int)
    assert 0 < available <= total


def test_options_are_read(tmp_path: Path) -> None:
    assert options_of(MemoryMonitor, tmp_path, 'type = "memory"') == MemoryOptions()
    assert options_of(MemoryMonitor, tmp_path, "warn_below = 20\nfail_below = 2.5") == MemoryOptions(
        20.0, 2.5
    )
