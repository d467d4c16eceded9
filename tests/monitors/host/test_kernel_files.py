"""Reading files of the kernel: where they are found, how they are parsed, and what hangs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.monitors.host.kernel_files import (
    MAX_FILE_BYTES,
    KernelFiles,
    missing_pressure,
    parse_numbers,
    parse_pressure,
    pressure_names,
    read_text,
)
from tests.hosts import kernel_files


def test_file_of_proc_is_preferred_to_the_bound_file(tmp_path: Path) -> None:
    files = kernel_files(tmp_path, proc__loadavg="1", bound__loadavg="2", bound__meminfo="3")
    assert files.read_proc("loadavg") == "1"
    assert files.read_proc("meminfo") == "3"
    assert files.read_proc("stat") is None


def test_empty_mount_point_counts_as_hidden(tmp_path: Path) -> None:
    """It remains in /run when the service ends."""
    assert kernel_files(tmp_path, bound__meminfo="").read_proc("meminfo") is None


def test_number_of_bytes_read_is_limited(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert len(read_text(tmp_path / "large") or "") == MAX_FILE_BYTES
    assert read_text(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "is_container"),
    [({}, False), ({"cgroup__cgroup_dot_type": "domain\n"}, True), ({"container": "lxc\n"}, True)],
    ids=["host", "root group with a parent", "mark of the service manager"],
)
def test_container_is_detected(tmp_path: Path, files: dict[str, Any], *, is_container: bool) -> None:
    assert kernel_files(tmp_path, **files).is_container is is_container


def test_control_group_of_the_service_itself_is_not_that_of_a_container(tmp_path: Path) -> None:
    files = kernel_files(
        tmp_path,
        cgroup__cgroup_dot_type="domain\n",
        cgroup__memory_dot_max="5\n",
        proc__self__cgroup="0::/\n",
    )
    service, container = replace(files, is_service=True), replace(files, is_service=False)
    assert (service.is_container, service.read_cgroup("memory.max")) == (False, None)
    assert (container.is_container, container.read_cgroup("memory.max")) == (True, "5\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "some avg10=1.50 avg60=0.20 avg300=99.99 total=7\nfull avg10=0.00 avg60=0.00 avg300=3.00 total=0\n",
            {
                "some_avg10": 1.5,
                "some_avg60": 0.2,
                "some_avg300": 99.99,
                "full_avg10": 0.0,
                "full_avg60": 0.0,
                "full_avg300": 3.0,
            },
            id="memory",
        ),
        pytest.param(
            "some avg10=0.10 avg60=0.00 avg300=0.00 total=1\n",
            {"some_avg10": 0.1, "some_avg60": 0.0, "some_avg300": 0.0},
            id="cpu before Linux 5.13",
        ),
        pytest.param("", {}, id="empty"),
        pytest.param("some avg10=x avg60\nsome\n\nother avg10=1\n", {}, id="unknown form"),
        pytest.param("some avg10=1e9\n", {"some_avg10": 100.0}, id="out of range"),
    ],
)
def test_pressure_is_parsed(text: str, found: dict[str, float]) -> None:
    assert parse_pressure(text) == found


def test_pressure_of_the_control_group_is_preferred(tmp_path: Path) -> None:
    lines: dict[str, Any] = {
        "cgroup__memory_dot_pressure": "some avg10=1.00 avg60=0 avg300=0 total=1",
        "proc__pressure__memory": "some avg10=2.00 avg60=0 avg300=0 total=1",
        "bound__pressure__io": "some avg10=3.00 avg60=0 avg300=0 total=1",
    }
    files = kernel_files(tmp_path, **lines)
    assert [files.read_pressure(name).get("some_avg10") for name in ("memory", "io", "cpu")] == [
        1.0,
        3.0,
        None,
    ]


def test_missing_pressure_is_reported_only_if_a_condition_needs_it() -> None:
    fields = {"pressure.io.some_avg10": 0.0}
    assert missing_pressure({"pressure.io.some_avg10", "memory.total"}, fields) is None
    problem = missing_pressure({"pressure.io.full_avg60"}, fields)
    assert problem is not None
    assert problem.startswith("there is no pressure.io.full_avg60: ")


def test_pressure_fields_have_their_names() -> None:
    assert pressure_names("cpu", ("some",)) == [
        "pressure.cpu.some_avg10",
        "pressure.cpu.some_avg60",
        "pressure.cpu.some_avg300",
    ]


def test_numbers_are_parsed() -> None:
    text = "MemTotal:  2 kB\nHugePages_Total:   3\nactive_file 4096\nbad: -1 kB\nMemFree:\n\nodd: \N{SUPERSCRIPT TWO}\n"
    assert parse_numbers(text) == {"MemTotal": 2048, "HugePages_Total": 3, "active_file": 4096}


def test_real_files_of_this_host_can_be_read() -> None:
    assert KernelFiles().read_proc("meminfo") is not None
