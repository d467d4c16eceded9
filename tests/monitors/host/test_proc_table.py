"""Reading processes from /proc."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from monitord.monitors.host.proc_table import (
    ProcessesHiddenError,
    are_hidden,
    parse_stat,
    read_command,
    read_process,
    read_processes,
    read_pss,
)
from tests.hosts import process_files

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("name", ["nginx", "a b", "a) R 1 (b", "Web Content", ")"])
def test_name_can_contain_spaces_and_parentheses(tmp_path: Path, name: str) -> None:
    process_files(tmp_path, 7, name, cpu_ticks=3 * TICKS, start_ticks=50 * TICKS, pages=2)
    process = read_process(tmp_path, 7)
    assert process is not None
    assert (process.pid, process.name, process.cpu_s, process.started_s) == (7, name, 3.0, 50.0)
    assert process.rss_bytes == 2 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("state", ["Z", "X"])
def test_process_that_has_ended_does_not_count(tmp_path: Path, state: str) -> None:
    process_files(tmp_path, 7, "nginx", state=state)
    assert read_process(tmp_path, 7) is None


@pytest.mark.parametrize("text", ["", "7 (a) R", "x (a) R 1 2 3", "7 (a) R " + "x " * 40])
def test_other_text_is_not_a_process(text: str) -> None:
    assert parse_stat(text) is None


def test_hidden_processes_are_an_error(tmp_path: Path) -> None:
    process_files(tmp_path, 7, "nginx")
    assert are_hidden(tmp_path)
    with pytest.raises(ProcessesHiddenError):
        read_processes(lambda _, __: True, tmp_path)


def test_processes_are_selected_by_name_and_command(tmp_path: Path) -> None:
    process_files(tmp_path, 1, "systemd", "/sbin/init")
    process_files(tmp_path, 7, "nginx", "nginx: worker", "-x")
    (tmp_path / "self").mkdir()
    assert [process.pid for process in read_processes(lambda name, _: name == "nginx", tmp_path)] == [7]
    assert [
        process.pid for process in read_processes(lambda _, line: line() == "nginx: worker -x", tmp_path)
    ] == [7]
    assert [process.pid for process in read_processes(lambda _, line: line() == "/sbin/init", tmp_path)] == [
        1
    ]


def test_process_of_this_host_is_read() -> None:
    started = subprocess.Popen(["sleep", "600"])
    try:
        process = read_process(Path("/proc"), started.pid)
        assert process is not None
        assert 0 < process.started_s <= time.clock_gettime(time.CLOCK_BOOTTIME)
        assert process.pid == started.pid
        assert read_pss(Path("/proc"), os.getpid())
    finally:
        started.kill()
        started.wait()
    assert read_process(Path("/proc"), started.pid) is None
    assert read_command(Path("/proc"), started.pid) == ""
    assert read_pss(Path("/proc"), started.pid) is None
