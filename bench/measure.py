"""CPU time and memory of processes, read from /proc, and the format of numbers."""

import contextlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KIB = 1024
MIB = 1024 * 1024
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes. `pss`: shared pages are divided by the number of processes. `private`: pages of this process only."""

    rss: int
    pss: int
    private: int
    peak_rss: int


def cpu_s(pid: int) -> float:
    """User and system time of all threads of the process, in steps of 10 ms, without child processes."""
    # Fields 14 and 15 of proc(5), counted after the name, which may contain spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def waited_s(pid: int) -> float:
    """Seconds in which the main thread was runnable but had no core, because of other processes."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def threads_waited_s(pid: int) -> float:
    """Seconds in which threads of the process were runnable but had no core, together."""
    waited_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            waited_ns += int((thread / "schedstat").read_text().split()[1])
    return waited_ns / 1e9


def memory_of(pid: int) -> Memory:
    rollup = _kilobytes(Path(f"/proc/{pid}/smaps_rollup"))
    status = _kilobytes(Path(f"/proc/{pid}/status"))
    return Memory(
        rss=rollup["Rss"],
        pss=rollup["Pss"],
        private=rollup["Private_Clean"] + rollup["Private_Dirty"],
        peak_rss=status["VmHWM"],
    )


def _kilobytes(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * KIB
    return found


def quantile(ordered: Sequence[float], ratio: float) -> float:
    """The smallest value that this ratio of the sorted values does not exceed."""
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)]


def wait_until(condition: Callable[[], bool], within_s: float, text: str) -> None:
    """Poll until the condition is true. Raises TimeoutError with the text."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{text}: not within {within_s:.0f} s")
        time.sleep(POLL_S)


def median_and_range(values: Sequence[float], digits: int = 2) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"


def mebibytes(count: int) -> str:
    return f"{count / MIB:.1f}"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
