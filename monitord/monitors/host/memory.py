"""Monitor type `memory`: available memory, swap and memory pressure of this host.

    type = "memory"

Memory that the kernel can free at once is available: the page cache is not used memory. Without conditions, a check
warns if little memory is available and there is no swap space left or tasks wait for memory, and fails if the memory
is nearly exhausted. In a container with a memory limit, the values are those of the container.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from monitord.conditions import LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.host.kernel_files import (
    PERCENT,
    SANDBOX_HINT,
    KernelFiles,
    missing_pressure,
    parse_numbers,
    pressure_fields,
    pressure_names,
    pressure_types,
)
from monitord.net.base.blocking import CallTimeoutError, TooManyCallsError
from monitord.units import approximate_size

DEFAULT_WARN_BELOW = 5.0
DEFAULT_WARN_BELOW_BYTES = 2 << 30
DEFAULT_FAIL_BELOW = 2.0
DEFAULT_FAIL_BELOW_BYTES = 512 << 20
"""The percentages are too much for large hosts, so they have an upper limit in bytes by default."""

SWAP_SCARCE_PERCENT = 75.0
SWAP_EXHAUSTED_PERCENT = 95.0

WAITING_PERCENT = 10.0
"""Some task waited for memory in this share of the last five minutes: a warning, if little memory is available."""
THRASHING_PERCENT = 20.0
THRASHING_BELOW_PERCENT = 10.0
"""All tasks waited for memory in this share of the last minute: a failure, if less than this is available.

The second limit, because tasks also wait for memory while their control group exceeds its MemoryHigh=, on a host with
enough memory.
"""

_PRESSURE = pressure_names("memory")
_SIZES = ("memory.total", "memory.available", "memory.swap_total", "memory.swap_used")
_PERCENTAGES = ("memory.available_percent", "memory.swap_used_percent")

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        **dict.fromkeys(_SIZES, FieldType.SIZE),
        **dict.fromkeys(_PERCENTAGES, FieldType.NUMBER),
        **pressure_types(*_PRESSURE),
    },
    {"response_time": LATENCY, **dict.fromkeys((*_PERCENTAGES, *_PRESSURE), PERCENT)},
)


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Available memory in percent of the total. None: the default, but at most a fixed size."""

    warn_below: float | None = None
    fail_below: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Sizes in bytes, pressure in percent. `is_limited`: the total is the limit of a control group."""

    total: int
    available: int
    swap_total: int = 0
    swap_used: int = 0
    pressure: Mapping[str, float] = field(default_factory=dict)
    is_limited: bool = False

    @property
    def available_percent(self) -> float:
        return 100.0 * self.available / self.total if self.total else 0.0

    @property
    def swap_used_percent(self) -> float:
        return 100.0 * self.swap_used / self.swap_total if self.swap_total else 0.0


class MemoryMonitor(Monitor[MemoryOptions]):
    type_name: ClassVar[str] = "memory"
    uses_network = False
    # A program that needs much memory for a minute is not a problem.
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(fail_after=3, degrade_after=5)
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools, files: KernelFiles | None = None) -> None:
        super().__init__(settings, tools)
        self._files = files or KernelFiles()

    @classmethod
    def read_options(cls, table: Table) -> MemoryOptions:
        options = MemoryOptions(
            warn_below=table.number("warn_below", default=None, minimum=0, maximum=100),
            fail_below=table.number("fail_below", default=None, minimum=0, maximum=100),
        )
        warn_below = DEFAULT_WARN_BELOW if options.warn_below is None else options.warn_below
        if options.fail_below is not None and options.fail_below > warn_below:
            table.error(
                "fail_below", f"exceeds warn_below, which is {warn_below:g}", "write a smaller number"
            )
        return options

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        try:
            memory = await self.tools.blocking.run(
                "meminfo", lambda: read_memory(self._files), timeout_s=self.settings.timeout_s
            )
        except (CallTimeoutError, TooManyCallsError):
            return watch.observation(Reason.PROBER_EXHAUSTED, "reading /proc/meminfo does not end")
        if memory is None:
            hidden = f"/proc/meminfo cannot be read: the sandbox hides it ({SANDBOX_HINT})"
            return watch.observation(Reason.PROBER_FORBIDDEN, hidden)
        fields: dict[str, FieldValue] = {
            "response_time": watch.elapsed_s,
            "memory.total": memory.total,
            "memory.available": memory.available,
            "memory.available_percent": memory.available_percent,
            "memory.swap_total": memory.swap_total,
            "memory.swap_used": memory.swap_used,
            "memory.swap_used_percent": memory.swap_used_percent,
            **pressure_fields("memory", memory.pressure),
        }
        if problem := missing_pressure(self.settings.needs, fields):
            return watch.observation(Reason.PROBER_FORBIDDEN, problem, fields)
        reason, problem = evaluate(memory, self.options)
        if reason is Reason.MEMORY_EXHAUSTED and self.settings.up_when:
            reason = Reason.CONDITION_FAILED
        elif reason is Reason.MEMORY_LOW and self.settings.degraded_when:
            reason = Reason.OK
        limit = " (limit of the control group)" if memory.is_limited else ""
        text = f"{approximate_size(memory.available)} of {approximate_size(memory.total)}{limit} available"
        if memory.swap_total:
            text += (
                f", {approximate_size(memory.swap_used)} of {approximate_size(memory.swap_total)} swap used"
            )
        if "some_avg60" in memory.pressure:
            text += f", memory pressure {memory.pressure['some_avg60']:.0f} %"
        return watch.observation(reason, f"{problem}: {text}" if problem else text, fields)


def evaluate(memory: Memory, options: MemoryOptions) -> tuple[Reason, str]:
    """Return the default verdict as a reason, and the problem in words. Pure."""
    available = memory.available
    warn_below = _limit(memory, options.warn_below, DEFAULT_WARN_BELOW, DEFAULT_WARN_BELOW_BYTES)
    fail_below = _limit(memory, options.fail_below, DEFAULT_FAIL_BELOW, DEFAULT_FAIL_BELOW_BYTES)
    # Without swap space there is none left to use.
    swap_used_percent = memory.swap_used_percent if memory.swap_total else 100.0
    if available < fail_below and swap_used_percent >= SWAP_EXHAUSTED_PERCENT:
        return Reason.MEMORY_EXHAUSTED, "memory nearly exhausted"
    is_thrashing = memory.pressure.get("full_avg60", 0.0) >= THRASHING_PERCENT
    if is_thrashing and memory.available_percent < THRASHING_BELOW_PERCENT:
        return Reason.MEMORY_EXHAUSTED, "tasks wait for memory"
    if available < warn_below:
        if swap_used_percent >= SWAP_SCARCE_PERCENT:
            return Reason.MEMORY_LOW, "little memory left"
        if memory.pressure.get("some_avg300", 0.0) >= WAITING_PERCENT:
            return Reason.MEMORY_LOW, "little memory left, and tasks wait for it"
    return Reason.OK, ""


def _limit(memory: Memory, percent: float | None, default_percent: float, default_bytes: int) -> float:
    """Return a limit in bytes."""
    if percent is not None:
        return memory.total * percent / 100
    return min(memory.total * default_percent / 100, default_bytes)


def read_memory(files: KernelFiles) -> Memory | None:
    """Read the memory of this host, or of this container if that is less. None if /proc/meminfo cannot be read."""
    meminfo = parse_numbers(files.read_proc("meminfo") or "")
    if "MemTotal" not in meminfo or "MemAvailable" not in meminfo:
        return None
    # Huge pages are reserved for programs that ask for them, and are never available to others (hugetlbpage).
    total = max(meminfo["MemTotal"] - meminfo.get("Hugetlb", 0), 0)
    # In a container, the cache is that of its host, and not part of its memory.
    available = meminfo["MemAvailable"]
    if not files.is_container:
        # ZFS frees its cache when programs need memory. Lines have a name, a type and a value.
        lines = (line.split() for line in (files.read_proc("spl/kstat/zfs/arcstats") or "").splitlines())
        zfs = parse_numbers("\n".join(f"{words[0]} {words[2]}" for words in lines if len(words) == 3))  # noqa: PLR2004
        available += max(zfs.get("size", 0) - zfs.get("c_min", 0), 0)
    swap_total = meminfo.get("SwapTotal", 0)
    swap_used = max(swap_total - meminfo.get("SwapFree", 0), 0)
    pressure = files.read_pressure("memory")
    limits = [_number(files, name) for name in ("memory.max", "memory.high")]
    limit = min((value for value in limits if value is not None), default=None)
    group = dict(parse_numbers(files.read_cgroup("memory.stat") or ""))
    for name in ("memory.current", "memory.swap.max", "memory.swap.current"):
        if (number := _number(files, name)) is not None:
            group[name] = number
    if limit is None or limit >= total or "memory.current" not in group:
        return Memory(total, min(available, total), swap_total, swap_used, pressure)
    freeable = sum(group.get(name, 0) for name in ("active_file", "inactive_file", "slab_reclaimable"))
    available = max(min(available, limit - group["memory.current"] + freeable, limit), 0)
    swap_total = min(swap_total, group.get("memory.swap.max", swap_total))
    swap_used = min(group.get("memory.swap.current", swap_used), swap_total)
    return Memory(limit, available, swap_total, swap_used, pressure, is_limited=True)


def _number(files: KernelFiles, name: str) -> int | None:
    """Return the number in a file of the group; None for "max", or if there is no such file."""
    text = (files.read_cgroup(name) or "").strip()
    return int(text) if text.isascii() and text.isdecimal() else None
