"""The dispatcher alone: 10,000 monitors at 1,000 checks per second, with an empty check.

Lateness is the start time of a check minus its scheduled time. Each variant runs in its own process. `lines`: each
result is logged with all its fields, to a socket in place of that of journald.
"""

import argparse
import asyncio
import gc
import logging
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import uvloop

from bench.measure import markdown, quantile, waited_s
from bench.processes import journal_sink
from monitord.clock import Clock, SystemClock
from monitord.config import Table
from monitord.dispatch import CheckLog, Dispatcher, LoggedChecks, MonitorEntry, Pipeline, Slots, StallDetector
from monitord.dispatch.schedule import Grid, grid_of
from monitord.health import HealthPolicy
from monitord.model import Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import HttpClient, Resolver, TlsContexts
from monitord.systemd.journal import JournalTransport
from monitord.systemd.log import JournalHandler
from monitord.systemd.output_queue import OutputQueue

PERIOD_S = 10.0
SETTLE_S = 26.0
"""The first checks run within a period, the second up to 1.5 periods later, on the grid."""

GOAL_P99_S = 0.020


class EmptyMonitor(Monitor[None]):
    """Passes at once, and records when it was checked."""

    type_name: ClassVar[str] = "empty"

    def __init__(self, settings: MonitorSettings, tools: Tools, seen: list[tuple[float, Grid]]) -> None:
        super().__init__(settings, tools)
        self._seen = seen
        self._grid = grid_of(settings.name, settings.check_every_s)

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        self._seen.append((watch.began_s, self._grid))
        return watch.observation(Reason.OK, "passed")


@dataclass(frozen=True, slots=True)
class Variant:
    loop: str
    with_lines: bool
    monitors: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    checks: int
    cpu_s: float
    waited_s: float
    late_s: list[float]


def measure(variant: Variant) -> Outcome:
    """Run the variant in this process."""
    factory = uvloop.new_event_loop if variant.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if not variant.with_lines:
            return runner.run(_measure(variant))
        with tempfile.TemporaryDirectory() as folder, journal_sink(Path(folder)) as path:
            output = OutputQueue(JournalTransport(str(path)), lambda count: b"LOST=%d\n" % count)
            output.attach(runner.get_loop())
            logging.getLogger().addHandler(JournalHandler(output, "bench"))
            logging.getLogger().setLevel(logging.INFO)
            try:
                return runner.run(_measure(variant))
            finally:
                output.close()


async def _measure(variant: Variant) -> Outcome:
    clock: Clock = SystemClock()
    stall_detector = StallDetector(clock)
    check_log = CheckLog(LoggedChecks.ALL if variant.with_lines else LoggedChecks.CHANGES)
    if not variant.with_lines:
        logging.getLogger().setLevel(logging.WARNING)
    slots: Slots[MonitorEntry] = Slots(256, 8)
    dispatcher = Dispatcher(Pipeline(clock, stall_detector, check_log), slots, clock, check_log)
    resolver, contexts = Resolver(), TlsContexts()
    http = HttpClient(user_agent="bench", resolver=resolver, tls_contexts=contexts)
    tools = Tools(clock, http, resolver, contexts)
    seen: list[tuple[float, Grid]] = []
    wanted = [_settings(f"m{number:05}") for number in range(variant.monitors)]
    stall_detector.start()
    dispatcher.start()
    dispatcher.apply(dispatcher.plan(wanted, lambda settings: EmptyMonitor(settings, tools, seen)))
    gc.collect()
    await asyncio.sleep(SETTLE_S)
    seen.clear()
    before_s, waited_before_s = time.process_time(), waited_s(os.getpid())
    await asyncio.sleep(variant.seconds)
    cpu_s, wait_s = time.process_time() - before_s, waited_s(os.getpid()) - waited_before_s
    checked = seen.copy()
    await dispatcher.close(1.0)
    stall_detector.stop()
    return Outcome(len(checked), cpu_s, wait_s, sorted(late_s(moment, grid) for moment, grid in checked))


def late_s(moment_s: float, grid: Grid) -> float:
    """Seconds after the nearest point of the grid. A timer of uvloop may be a millisecond early, which counts as 0."""
    since_s = (moment_s - grid.offset_s) % grid.period_s
    return since_s if since_s < grid.period_s / 2 else 0.0


def _settings(name: str) -> MonitorSettings:
    return MonitorSettings(
        name=name,
        type_name=EmptyMonitor.type_name,
        check_every_s=PERIOD_S,
        timeout_s=5.0,
        retry_every_s=5.0,
        policy=HealthPolicy(),
        options=None,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)


def main(options: argparse.Namespace) -> str:
    rows = []
    for with_lines in (False, True):
        for loop in ("asyncio", "uvloop"):
            variant = Variant(loop, with_lines, options.monitors, options.seconds)
            rows += [_row(variant, _in_own_process(variant)) for _ in range(options.rounds)]
    heads = (
        "loop",
        "lines",
        "checks/s",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "p99 < 20 ms",
        "CPU per check, µs",
        "waited for a core, ms per s",
    )
    return markdown(heads, rows)


def _in_own_process(variant: Variant) -> Outcome:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, variant).result()


def _row(variant: Variant, outcome: Outcome) -> tuple[Any, ...]:
    p50, p99, worst = (quantile(outcome.late_s, share) for share in (0.5, 0.99, 1.0))
    return (
        variant.loop,
        "yes" if variant.with_lines else "no",
        f"{outcome.checks / variant.seconds:.0f}",
        f"{p50 * 1e3:.1f}",
        f"{p99 * 1e3:.1f}",
        f"{worst * 1e3:.1f}",
        "yes" if p99 < GOAL_P99_S else "NO",
        f"{outcome.cpu_s / outcome.checks * 1e6:.0f}",
        f"{outcome.waited_s / variant.seconds * 1e3:.1f}",
    )
