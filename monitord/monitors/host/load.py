"""Monitor type `load`: load averages and the pressure on CPUs and storage of this host.

    type = "load"

Without conditions, a check warns if the load averages of the last 5 and 15 minutes exceed 5 per CPU, and
fails if they exceed 20: a busy host may have a higher load for a few minutes. The load averages of a container are
those of its host, so that they are not compared there.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from monitord.conditions import LATENCY, Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.host.kernel_files import (
    PERCENT,
    SANDBOX_HINT,
    KernelFiles,
    missing_pressure,
    pressure_fields,
    pressure_names,
    pressure_types,
)
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError

DEFAULT_WARN_ABOVE = 5.0
FAIL_FACTOR = 4.0
"""The default of `fail_above` is that multiple of `warn_above`."""
MAX_ABOVE = 10_000.0

# With "full" of the CPUs, which the kernel reports as 0 for a host: only "some" has a meaning.
_PRESSURE = (*pressure_names("cpu", ("some",)), *pressure_names("io"))
_AVERAGES = ("load.avg1", "load.avg5", "load.avg15")
_PER_CPU = tuple(f"{name}_per_cpu" for name in _AVERAGES)

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "load.cpus": FieldType.NUMBER,
        **dict.fromkeys((*_AVERAGES, *_PER_CPU), FieldType.NUMBER),
        **pressure_types(*_PRESSURE),
    },
    {
        "response_time": LATENCY,
        **dict.fromkeys(("load.cpus", *_AVERAGES, *_PER_CPU), Bounds(least=0)),
        **dict.fromkeys(_PRESSURE, PERCENT),
    },
)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Load averages per CPU."""

    warn_above: float = DEFAULT_WARN_ABOVE
    fail_above: float = DEFAULT_WARN_ABOVE * FAIL_FACTOR


@dataclass(frozen=True, slots=True)
class Load:
    """The load averages of 1, 5 and 15 minutes. `cpus`: the CPUs, or the limit of the container.

    `is_of_host`: in a container, the averages are those of its host.
    """

    averages: tuple[float, float, float]
    cpus: float
    is_of_host: bool = False
    cpu_pressure: Mapping[str, float] = field(default_factory=dict)
    io_pressure: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_cpu(self) -> tuple[float, ...]:
        return tuple(average / self.cpus for average in self.averages)


class LoadMonitor(Monitor[LoadOptions]):
    type_name: ClassVar[str] = "load"
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(
        self,
        settings: MonitorSettings,
        tools: Tools,
        files: KernelFiles | None = None,
        count_cpus: Callable[[], int | None] = os.cpu_count,
    ) -> None:
        super().__init__(settings, tools)
        self._files = files or KernelFiles()
        self._count_cpus = count_cpus

    @classmethod
    def read_options(cls, table: Table) -> LoadOptions:
        warn_above = table.number("warn_above", default=DEFAULT_WARN_ABOVE, minimum=0.01, maximum=MAX_ABOVE)
        fail_above = table.number("fail_above", default=None, minimum=0.01, maximum=MAX_ABOVE)
        if fail_above is None:
            fail_above = warn_above * FAIL_FACTOR
        elif fail_above < warn_above:
            table.error(
                "fail_above", f"is less than warn_above, which is {warn_above:g}", "write a larger number"
            )
        return LoadOptions(warn_above, fail_above)

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        try:
            load = await self.tools.blocking.run(
                "loadavg",
                lambda: read_load(self._files, self._count_cpus() or 1),
                timeout_s=self.settings.timeout_s,
            )
        except (CallTimeoutError, TooManyCallsError):
            return watch.observation(Reason.PROBER_EXHAUSTED, "reading /proc/loadavg does not end")
        if load is None:
            hidden = f"/proc/loadavg cannot be read: the sandbox hides it ({SANDBOX_HINT})"
            return watch.observation(Reason.PROBER_FORBIDDEN, hidden)
        fields: dict[str, FieldValue] = {
            "response_time": watch.elapsed_s,
            "load.cpus": load.cpus,
            **dict(zip(_AVERAGES, load.averages, strict=True)),
            **({} if load.is_of_host else dict(zip(_PER_CPU, load.per_cpu, strict=True))),
            **pressure_fields("cpu", load.cpu_pressure),
            **pressure_fields("io", load.io_pressure),
        }
        problem = missing_pressure(self.settings.needs, fields)
        if problem is None and load.is_of_host and self.settings.needs.intersection(_PER_CPU):
            problem = (
                "the load averages of a container are those of its host; use pressure.cpu.some_avg60 instead"
            )
        if problem is not None:
            return watch.observation(Reason.PROBER_FORBIDDEN, problem, fields)
        reason = evaluate(load, self.options)
        if reason is Reason.OVERLOADED and self.settings.up_when:
            reason = Reason.CONDITION_FAILED
        elif reason is Reason.LOAD_HIGH and self.settings.degraded_when:
            reason = Reason.OK
        averages = ", ".join(f"{average:.2f}" for average in load.averages)
        text = f"load {averages}"
        text += (
            " (of the host of this container)"
            if load.is_of_host
            else f" on {load.cpus:g} {'CPU' if load.cpus == 1 else 'CPUs'}"
        )
        for name, pressure in (("CPU", load.cpu_pressure), ("I/O", load.io_pressure)):
            if "some_avg60" in pressure:
                text += f", {name} pressure {pressure['some_avg60']:.0f} %"
        return watch.observation(reason, text, fields)


def evaluate(load: Load, options: LoadOptions) -> Reason:
    """Return the default verdict as a reason. Pure."""
    if load.is_of_host:
        return Reason.OK
    # The average of 5 minutes shows whether the load continues.
    _, *averages = load.per_cpu
    if min(averages) > options.fail_above:
        return Reason.OVERLOADED
    return Reason.LOAD_HIGH if min(averages) > options.warn_above else Reason.OK


def read_load(files: KernelFiles, cpus: int) -> Load | None:
    """Read the load of this host. None if /proc/loadavg cannot be read."""
    try:
        average_1, average_5, average_15 = (
            float(word) for word in (files.read_proc("loadavg") or "").split()[:3]
        )
    except ValueError:
        return None
    is_container = files.is_container
    available_cpus = float(cpus)
    # A limit such as "50000 100000", half a CPU; without a limit "max 100000".
    words = (files.read_cgroup("cpu.max") or "").split() if is_container else []
    if len(words) == 2 and all(word.isascii() and word.isdecimal() for word in words):  # noqa: PLR2004
        quota, period = map(int, words)
        if quota and period:
            available_cpus = min(available_cpus, quota / period)
    return Load(
        (average_1, average_5, average_15),
        available_cpus,
        is_of_host=is_container,
        cpu_pressure={
            name: value for name, value in files.read_pressure("cpu").items() if name.startswith("some_")
        },
        io_pressure=files.read_pressure("io"),
    )
