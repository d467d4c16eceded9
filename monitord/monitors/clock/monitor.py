"""Monitor type `clock`: whether a time service keeps the clock of this host synchronized, and its offset.

    type = "clock"

systemd-timesyncd, chrony and ntpd (NTPsec) are queried; without one of them, the kernel. Without conditions, a check
warns if the clock has not been synchronized for `max_age`, and fails if its offset exceeds `max_offset`, each for
longer than `grace`: after boot or resume, a clock takes a few minutes to be synchronized.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar

from monitord.clock import time_text
from monitord.conditions import LATENCY, Bounds, FieldType, Vocabulary
from monitord.config import Table
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.clock.sources import ClockSource, ClockSources
from monitord.monitors.host.kernel_files import KernelFiles
from monitord.net.clock.status import ClockError, ClockStatus
from monitord.net.dbus.bus import library_problem
from monitord.units import format_duration

DEFAULT_MAX_OFFSET_S = 1.0
DEFAULT_MAX_AGE_S = 86_400.0
DEFAULT_GRACE_S = 900.0

MAX_STRATUM = 16

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "clock.synchronized": FieldType.FLAG,
        "clock.source": FieldType.TEXT,
        "clock.server": FieldType.TEXT,
        "clock.stratum": FieldType.NUMBER,
        "clock.offset": FieldType.DURATION,
        "clock.measurement_age": FieldType.DURATION,
    },
    {
        "response_time": LATENCY,
        "clock.source": Bounds(
            values=tuple(source.value for source in ClockSource if source is not ClockSource.AUTO)
        ),
        "clock.stratum": Bounds(least=0, most=MAX_STRATUM, is_whole=True),
        "clock.offset": LATENCY,
        "clock.measurement_age": Bounds(least=0),
    },
)


@dataclass(frozen=True, slots=True)
class ClockOptions:
    source: ClockSource = ClockSource.AUTO
    max_offset_s: float = DEFAULT_MAX_OFFSET_S
    max_age_s: float = DEFAULT_MAX_AGE_S
    grace_s: float = DEFAULT_GRACE_S


class ClockProblem(Enum):
    """The problem of a clock, and the reason of the default verdict."""

    UNSYNCHRONIZED = Reason.CLOCK_UNSYNCHRONIZED
    OFFSET = Reason.CLOCK_OFFSET


class ClockMonitor(Monitor[ClockOptions]):
    type_name: ClassVar[str] = "clock"
    # The queried services are on this host.
    uses_network = False
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(
        self,
        settings: MonitorSettings,
        tools: Tools,
        sources: ClockSources | None = None,
        files: KernelFiles | None = None,
    ) -> None:
        super().__init__(settings, tools)
        self._sources = sources or ClockSources()
        self._files = files or KernelFiles()
        self._problem: ClockProblem | None = None
        self._problem_since_s = 0.0

    @classmethod
    def read_options(cls, table: Table) -> ClockOptions:
        options = ClockOptions(
            source=table.choice("source", ClockSource, default=ClockSource.AUTO),
            max_offset_s=table.duration("max_offset", default=DEFAULT_MAX_OFFSET_S, minimum=0.001),
            max_age_s=table.duration("max_age", default=DEFAULT_MAX_AGE_S, minimum=60),
            grace_s=table.duration("grace", default=DEFAULT_GRACE_S),
        )
        if options.source is ClockSource.TIMESYNCD and (problem := library_problem()):
            table.error(
                "source", f'"timesyncd" needs dbus-fast: {problem}', "install the package python3-dbus-fast"
            )
        return options

    def dump_state(self) -> Mapping[str, Any] | None:
        if self._problem is None:
            return None
        lasts_s = self.tools.clock.monotonic_s() - self._problem_since_s
        return {"problem": self._problem.name, "problem_for_s": lasts_s}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        problem, lasts_s = state.get("problem"), state.get("problem_for_s")
        if (
            isinstance(problem, str)
            and problem in ClockProblem.__members__
            and isinstance(lasts_s, (int, float))
        ):
            self._problem = ClockProblem[problem]
            self._problem_since_s = self.tools.clock.monotonic_s() - lasts_s

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        is_container = self._files.is_container
        try:
            status = await self._sources.query(
                self.options.source,
                self.tools.clock.now(),
                is_container=is_container,
                timeout_s=self.settings.timeout_s,
            )
        except ClockError as error:
            if self.options.source is ClockSource.AUTO:
                return self._without_status(watch, str(error), is_container=is_container)
            return self._observation(
                watch, ClockProblem.UNSYNCHRONIZED, f"{self.options.source.value}: {error}", {}
            )
        now = self.tools.clock.now()
        if not status.is_synchronized and status.source == "kernel" and is_container:
            # Only the host of a container sets the clock, and may do so without the knowledge of this kernel.
            return self._without_status(watch, "no time service", is_container=True)
        problem, text = evaluate(status, self.options, now)
        fields: dict[str, FieldValue] = {
            "clock.synchronized": status.is_synchronized,
            "clock.source": status.source,
        }
        if status.server:
            fields["clock.server"] = status.server
        if status.stratum is not None:
            fields["clock.stratum"] = status.stratum
        if status.offset_s is not None:
            fields["clock.offset"] = abs(status.offset_s)
        if status.measured_at is not None:
            fields["clock.measurement_age"] = max((now - status.measured_at).total_seconds(), 0.0)
        return self._observation(watch, problem, text, fields)

    def _observation(
        self, watch: Stopwatch, problem: ClockProblem | None, text: str, fields: Mapping[str, FieldValue]
    ) -> Observation:
        now_s = self.tools.clock.monotonic_s()
        if problem is not self._problem:
            if self._problem is None:
                self._problem_since_s = now_s
            self._problem = problem
        if problem is None:
            reason, note = Reason.OK, ""
        elif now_s - self._problem_since_s < self.options.grace_s:
            reason, note = Reason.OK, f", accepted for {format_duration(self.options.grace_s)} (grace)"
        else:
            reason, note = problem.value, ""
        if reason.is_warning and self.settings.degraded_when:
            reason = Reason.OK
        elif reason is not Reason.OK and not reason.is_warning and self.settings.up_when:
            reason = Reason.CONDITION_FAILED
        return watch.observation(reason, f"{text}{note}", {"response_time": watch.elapsed_s, **fields})

    def _without_status(self, watch: Stopwatch, problem: str, *, is_container: bool) -> Observation:
        if is_container and self.options.source is ClockSource.AUTO:
            if not any(name.startswith("clock.") for name in self.settings.needs):
                self._problem = None
                text = "the host of this container synchronizes the clock, which cannot be verified from here"
                return watch.observation(Reason.OK, text, {"response_time": watch.elapsed_s})
            problem = "this container has no time service, and its host synchronizes the clock"
        return watch.observation(Reason.PROBER_FORBIDDEN, f"the state of the clock is unknown: {problem}")


def evaluate(status: ClockStatus, options: ClockOptions, now: datetime) -> tuple[ClockProblem | None, str]:
    """Return the problem of the clock if there is one, and its state in words. Pure."""
    source = status.source if status.source != "kernel" else "the kernel"
    measured_at = status.measured_at
    if not status.is_synchronized:
        since = f" since {time_text(measured_at)}" if measured_at is not None else ""
        return ClockProblem.UNSYNCHRONIZED, f"{source}: not synchronized{since}"
    server = f" with {status.server}" if status.server else ""
    offset = ""
    if status.offset_s is not None:
        # Behind: this clock shows an earlier time than the server.
        offset = f", offset {abs(status.offset_s):.6f} s {'behind' if status.offset_s >= 0 else 'ahead'}"
    if measured_at is not None and (now - measured_at).total_seconds() > options.max_age_s:
        return (
            ClockProblem.UNSYNCHRONIZED,
            f"{source}: not synchronized{server} since {time_text(measured_at)}",
        )
    if (
        status.offset_s is not None
        and not status.is_corrected
        and abs(status.offset_s) > options.max_offset_s
    ):
        limit = format_duration(options.max_offset_s)
        return ClockProblem.OFFSET, f"{source}: synchronized{server}{offset}, more than {limit}"
    return None, f"{source}: synchronized{server}{offset}"
