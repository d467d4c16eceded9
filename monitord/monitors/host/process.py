"""Monitor type `process`: number, memory, CPU time and age of processes.

    type = "process"
    unit = "nginx.service"        # or name = "nginx", or pattern = "java .*broker"

Without conditions, a check passes if there are at least `at_least` and at most `at_most` processes. The processes of a
unit are those of its control group, as the service manager reports them. Processes by name or pattern are read from
/proc, where the sandbox of the service hides those of other users: then the check is inconclusive.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from monitord.clock import time_text
from monitord.conditions import COUNT, LATENCY, Bounds, FieldType, Vocabulary
from monitord.conditions.pattern.matcher import Pattern
from monitord.config import Table
from monitord.errors import InvalidValueError
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.host.kernel_files import SANDBOX_HINT, KernelFiles, parse_numbers, read_text
from monitord.monitors.host.proc_table import (
    Process,
    ProcessesHiddenError,
    ProcessFilter,
    read_processes,
    read_pss,
)
from monitord.monitors.systemd.common import has_library, manager_failure
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.net.dbus.bus import BusError
from monitord.net.dbus.unit_resources import KINDS, UnitResources
from monitord.systemd.unit_names import full_unit_name
from monitord.text import joined
from monitord.units import approximate_size

NAME_CHARACTERS = 15
"""The kernel cuts the name of a process after 15 bytes (TASK_COMM_LEN)."""
MAX_PROCESSES = 1_000_000

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "process.count": FieldType.NUMBER,
        "process.rss": FieldType.SIZE,
        "process.pss": FieldType.SIZE,
        "process.cpu_percent": FieldType.NUMBER,
        "process.age": FieldType.DURATION,
    },
    {
        "response_time": LATENCY,
        "process.count": COUNT,
        "process.cpu_percent": Bounds(least=0),
        "process.age": Bounds(least=0),
    },
)


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """One of `unit`, `name` and `pattern` is set. `at_most`: None without a limit."""

    unit: str = ""
    name: str = ""
    pattern: str = ""
    at_least: int = 1
    at_most: int | None = None

    @property
    def subject(self) -> str:
        return self.unit or (f"name {self.name}" if self.name else f"pattern {self.pattern}")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Resources that the processes use in total. None: not known.

    `runs`: CPU time and age in seconds of each process or unit, by the values that identify its run. `age_s`: of the
    oldest process.
    """

    count: int
    rss_bytes: int | None
    pss_bytes: int | None
    runs: Mapping[object, tuple[float, float | None]]
    age_s: float | None


class PatternLimitError(Exception):
    """A search for the pattern exceeds its limits."""


class ProcessMonitor(Monitor[ProcessOptions]):
    type_name: ClassVar[str] = "process"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools, files: KernelFiles | None = None) -> None:
        super().__init__(settings, tools)
        self._files = files or KernelFiles()
        self._runs: Mapping[object, tuple[float, float | None]] = {}
        self._checked_at_s: float | None = None

    @classmethod
    def read_options(cls, table: Table) -> ProcessOptions:
        options = ProcessOptions(
            unit=table.value("unit", _unit_with_processes, default=""),
            name=table.value("name", _name, default=""),
            pattern=table.value("pattern", _pattern, default=""),
            at_least=table.integer("at_least", default=1, minimum=0, maximum=MAX_PROCESSES),
            at_most=table.integer("at_most", default=None, minimum=0, maximum=MAX_PROCESSES),
        )
        written = [key for key in ("name", "unit", "pattern") if table.raw(key) is not None]
        if not written:
            table.error("", "has no unit, name or pattern", 'write unit = "nginx.service" or name = "nginx"')
        elif len(written) > 1:
            table.error(written[1], f"conflicts with {written[0]}", "write only one of them")
        elif options.unit:
            has_library(table, "type", cls.type_name)
        if options.at_most is not None and options.at_most < options.at_least:
            least = options.at_least
            table.error("at_most", f"is less than at_least, which is {least}", f"write at least {least}")
        return options

    @classmethod
    def absent_fields(cls, options: ProcessOptions) -> Mapping[str, str]:
        return {"process.pss": "is not available for a unit"} if options.unit else {}

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        subject = f"processes of {self.options.subject}" if self.options.unit else self.options.subject
        deadline = watch.began_s + self.settings.timeout_s
        try:
            usage = await (self._usage_of_unit(deadline) if self.options.unit else self._usage_by_filter())
        except BusError as error:
            return manager_failure(watch, subject, error)
        except ProcessesHiddenError:
            problem = (
                f"the sandbox hides processes of other users: ProtectProc=default is needed, {SANDBOX_HINT}"
            )
            return watch.observation(Reason.PROBER_FORBIDDEN, problem, subject=subject, outcome=problem)
        except (CallTimeoutError, TooManyCallsError):
            problem = "reading /proc does not end"
            return watch.observation(Reason.PROBER_EXHAUSTED, problem, subject=subject, outcome=problem)
        except PatternLimitError:
            problem = "the pattern needs too much time for a command line"
            return watch.observation(Reason.PROBER_EXHAUSTED, problem, subject=subject, outcome=problem)
        cpu_percent = self._cpu_percent(usage)
        reason, text = self._evaluate(usage, cpu_percent, _text(usage, cpu_percent, self.tools.clock.now()))
        fields: dict[str, FieldValue | None] = {
            "response_time": watch.elapsed_s,
            "process.count": usage.count,
            "process.rss": usage.rss_bytes,
            "process.pss": usage.pss_bytes,
            "process.cpu_percent": cpu_percent,
            "process.age": usage.age_s,
        }
        return watch.observation(
            reason,
            f"{subject}: {text}",
            {name: value for name, value in fields.items() if value is not None},
            subject=subject,
            outcome=text,
        )

    async def _usage_of_unit(self, deadline: float) -> ProcessUsage:
        units, name = self.tools.units, self.options.unit
        pids = await units.processes(name, deadline=deadline)
        resources = await units.resources(name, deadline=deadline) or UnitResources()
        is_running = bool(pids)
        age_s = None
        if is_running and resources.started_at is not None:
            age_s = max((self.tools.clock.now() - resources.started_at).total_seconds(), 0.0)
        rss_bytes = self._resident_bytes(resources.control_group) if is_running else 0
        runs: dict[object, tuple[float, float | None]] = {}
        if resources.cpu_s is not None:
            runs[resources.run] = resources.cpu_s, None
        return ProcessUsage(len(pids), rss_bytes, None, runs, age_s)

    def _resident_bytes(self, group: str) -> int | None:
        """Return the memory of a control group without the part of the page cache that is not mapped."""
        if not group.startswith("/") or ".." in group:
            return None
        memory = parse_numbers(read_text(self._files.cgroup / group.lstrip("/") / "memory.stat") or "")
        return memory["anon"] + memory.get("file_mapped", 0) if "anon" in memory else None

    async def _usage_by_filter(self) -> ProcessUsage:
        is_counted = _process_filter(self.options)
        needs_pss = "process.pss" in self.settings.needs
        return await self.tools.blocking.run(
            f"processes {self.name}",
            lambda: read_usage(self._files, is_counted, needs_pss=needs_pss),
            timeout_s=self.settings.timeout_s,
        )

    def _cpu_percent(self, usage: ProcessUsage) -> float | None:
        """Return the CPU time since the previous check, in percent of one CPU; None if it is not known."""
        now_s = self.tools.clock.monotonic_s()
        before, checked_at_s = self._runs, self._checked_at_s
        self._runs, self._checked_at_s = usage.runs, now_s
        if checked_at_s is None or now_s <= checked_at_s:
            return None
        if usage.count and not usage.runs:
            return None  # the kernel does not count it
        elapsed_s, used_s = now_s - checked_at_s, 0.0
        for run, (cpu_s, age_s) in usage.runs.items():
            if run in before:
                used_s += max(cpu_s - before[run][0], 0.0)
            elif age_s is None or age_s <= elapsed_s:
                # It has started since the previous check. An older process with this PID was not counted: its name has
                # changed.
                used_s += cpu_s
        return 100.0 * used_s / elapsed_s

    def _evaluate(self, usage: ProcessUsage, cpu_percent: float | None, text: str) -> tuple[Reason, str]:
        options, needs = self.options, self.settings.needs
        if usage.count:
            missing = [
                name
                for name, value in (("process.rss", usage.rss_bytes), ("process.pss", usage.pss_bytes))
                if value is None and name in needs
            ]
            if missing:
                return Reason.PROBER_FORBIDDEN, f"{joined(missing)} cannot be read, {text}"
            if cpu_percent is None and "process.cpu_percent" in needs:
                return Reason.PROBER_MEASURING, f"the CPU time is measured from now on, {text}"
        if usage.count < options.at_least:
            reason, problem = Reason.TOO_FEW_PROCESSES, f"{text}, at least {options.at_least} expected"
        elif options.at_most is not None and usage.count > options.at_most:
            reason, problem = Reason.TOO_MANY_PROCESSES, f"{text}, at most {options.at_most} expected"
        else:
            return Reason.OK, text
        return (Reason.CONDITION_FAILED if self.settings.up_when else reason), problem


def read_usage(files: KernelFiles, is_counted: ProcessFilter, *, needs_pss: bool) -> ProcessUsage:
    """Read the processes that pass the filter. Blocking. Raises ProcessesHiddenError, PatternLimitError."""
    processes = read_processes(is_counted, files.proc)
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return ProcessUsage(
        len(processes),
        sum(process.rss_bytes for process in processes),
        _pss(files, processes) if needs_pss else None,
        {
            (process.pid, process.started_s): (process.cpu_s, now_s - process.started_s)
            for process in processes
        },
        max((max(now_s - process.started_s, 0.0) for process in processes), default=None),
    )


def _pss(files: KernelFiles, processes: Sequence[Process]) -> int | None:
    total = 0
    for process in processes:
        pss = read_pss(files.proc, process.pid)
        if pss is None:
            return None
        total += pss
    return total


def _process_filter(options: ProcessOptions) -> ProcessFilter:
    if options.name:
        # The kernel counts bytes.
        cut = options.name.encode()[:NAME_CHARACTERS].decode(errors="replace")
        return lambda name, _: name == cut
    pattern = Pattern(options.pattern)

    def is_counted(_: str, command: Callable[[], str]) -> bool:
        is_match = pattern.is_in_any((command(),))
        if is_match is None:
            raise PatternLimitError
        return is_match

    return is_counted


def _text(usage: ProcessUsage, cpu_percent: float | None, now: datetime) -> str:
    if not usage.count:
        return "no process"
    number = "1 process" if usage.count == 1 else f"{usage.count} processes"
    parts = [number]
    if usage.rss_bytes is not None:
        parts.append(f"{approximate_size(usage.rss_bytes)} resident")
    if cpu_percent is not None:
        parts.append(f"{cpu_percent:.0f} % CPU")
    if usage.age_s is not None:
        parts.append(f"since {time_text(now - timedelta(seconds=usage.age_s))}")
    return ", ".join(parts)


# Reading


def _unit_with_processes(text: str) -> str:
    name = full_unit_name(text)
    if name.rpartition(".")[2] not in KINDS:
        raise InvalidValueError("is a unit without processes", 'write a name such as "nginx.service"')
    return name


def _name(text: str) -> str:
    if not text or "/" in text:
        raise InvalidValueError("is not the name of a process", 'write the name of a program such as "nginx"')
    return text


def _pattern(text: str) -> str:
    if not text:
        raise InvalidValueError("matches every process", 'write a pattern such as "java .*broker"')
    Pattern(text)
    return text
