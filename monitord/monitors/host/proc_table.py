"""The processes of this host, read from /proc: proc_pid_stat(5). Blocking.

A process that ends while it is read is skipped.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_PROCESSES = 100_000
MAX_COMMAND_BYTES = 16 * 1024

_STAT = re.compile(r"(?P<pid>\d+) \((?P<name>.*)\) (?P<fields>[^)]+)", re.DOTALL)
# Indexes after the name, which is field 2: see proc_pid_stat(5).
_STATE, _USER_TICKS, _SYSTEM_TICKS, _START_TICKS, _RSS_PAGES = 0, 11, 12, 19, 21
_ENDED_STATES = frozenset("ZXx")

_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class ProcessesHiddenError(Exception):
    """The processes of other users are hidden (ProtectProc=, or the mount option hidepid=)."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process. `started_s`: in CLOCK_BOOTTIME; together with the PID it identifies the process."""

    pid: int
    name: str
    cpu_s: float
    started_s: float
    rss_bytes: int


ProcessFilter = Callable[[str, Callable[[], str]], bool]
"""Returns whether a process is counted, given its name and a function that returns its command line."""


def read_processes(is_counted: ProcessFilter, proc: Path = Path("/proc")) -> list[Process]:
    """Return all processes that pass the filter. Raises ProcessesHiddenError."""
    if are_hidden(proc):
        raise ProcessesHiddenError
    return [
        process
        for pid in _pids(proc)
        if (process := read_process(proc, pid)) is not None
        and is_counted(process.name, lambda pid=pid: read_command(proc, pid))  # type: ignore[misc]
    ]


def are_hidden(proc: Path = Path("/proc")) -> bool:
    """Return whether processes of other users are hidden. Process 1 always exists."""
    return read_process(proc, 1) is None


def _pids(proc: Path) -> Iterator[int]:
    names = (entry.name for entry in os.scandir(proc))
    pids = (int(name) for name in names if name.isascii() and name.isdecimal())
    for count, pid in enumerate(pids):
        if count >= MAX_PROCESSES:
            return
        yield pid


def read_process(proc: Path, pid: int) -> Process | None:
    """Return a process; None if it does not exist, has ended or is hidden."""
    try:
        # The name can have any bytes.
        text = (proc / str(pid) / "stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return parse_stat(text)


def parse_stat(text: str) -> Process | None:
    """Parse a line of /proc/PID/stat. The name can contain spaces and parentheses."""
    match = _STAT.fullmatch(text.strip())
    if match is None:
        return None
    fields = match["fields"].split()
    if len(fields) <= _RSS_PAGES or fields[_STATE] in _ENDED_STATES:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    try:
        user, system, started, pages = (
            int(fields[index]) for index in (_USER_TICKS, _SYSTEM_TICKS, _START_TICKS, _RSS_PAGES)
        )
    except ValueError:
        return None
    return Process(
        int(match["pid"]),
        match["name"],
        (user + system) / ticks,
        started / ticks,
        pages * os.sysconf("SC_PAGE_SIZE"),
    )


def read_command(proc: Path, pid: int) -> str:
    """Return the command line with spaces between its arguments; "" for kernel threads."""
    try:
        with (proc / str(pid) / "cmdline").open("rb") as file:
            raw = file.read(MAX_COMMAND_BYTES)
    except OSError:
        return ""
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def read_pss(proc: Path, pid: int) -> int | None:
    """Return the proportional set size in bytes; None without permission, which needs the same user or root."""
    try:
        text = (proc / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return None
    match = _PSS.search(text)
    return int(match[1]) * 1024 if match else None
