"""Discovery: 5,000 monitors are added, changed and removed while others are checked.

A source reads its targets from a file in the format of Prometheus. The checks of 200 other monitors, four times a
second each, show the lateness: the start time of a check minus its scheduled time. The times are those from the
moment at which the source reads the changed file until all monitors follow, and until the targets are stored.

On a machine that is busy with other work, compare the CPU times: those of the process, and of the longest iteration of
the event loop, which no check can be earlier than.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import selectors
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.dispatcher import EmptyMonitor
from bench.measure import markdown, milliseconds, quantile, waited_s
from monitord.application import ApplicationContainer
from monitord.dispatch.check_timers import TIMER_TOLERANCE_S
from monitord.dispatch.schedule import Grid
from monitord.health import HealthPolicy
from monitord.model import Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Stopwatch
from monitord.monitors.http.monitor import HttpMonitor
from monitord.settings import read_settings

OTHERS = 200
OTHERS_EVERY_S = 0.25
SETTLE_S = 5.0
LIMIT_S = 60.0
GOAL_S = 1.0
GOAL_LATENESS_S = 0.050

CONFIGURATION = """
[history]
enabled = false
[log]
checks = "failures"
[[discover]]
type = "file"
name = "nodes"
files = "{file}"
refresh_every = "1s"
max_targets = 50000
[discover.monitor]
url = "http://{{address}}/health"
check_every = "1h"
up_when = ["status == 200", "response_time < 300ms"]
tags = ["env:{{labels.env}}", "{{labels.team}}"]
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--targets", type=int, default=5000, help="number of targets (default: %(default)s)")
    parser.add_argument(
        "--others",
        type=int,
        default=OTHERS,
        help="other monitors, which are checked during the changes (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        selector = MeasuringSelector()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            rows = runner.run(_measure(Path(folder), options.targets, options.others, selector))
    heads = (
        "change",
        "time, s",
        "CPU time, s",
        "longest iteration, ms of CPU time",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "waited for a core, ms per s",
    )
    goals = f"Goals: {GOAL_S:g} s, and a lateness of at most {milliseconds(GOAL_LATENESS_S)} ms."
    return f"{options.targets} targets. {goals}\n\n{markdown(heads, rows)}"


class MeasuringSelector(selectors.DefaultSelector):
    """Measures the CPU time of the iterations of the event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_s = 0.0
        self._began_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.longest_s = max(self.longest_s, time.thread_time() - self._began_s)
        ready = super().select(timeout)
        self._began_s = time.thread_time()
        return ready


class UncheckedHttpMonitor(HttpMonitor):
    """A monitor of type http that sends nothing: its checks pass at once."""

    async def check(self) -> Observation:
        return Stopwatch(self.tools.clock).observation(
            Reason.OK, "passed", {"status": 200, "response_time": 0.0}
        )


class DiscoveryBench(ApplicationContainer):
    """No check uses the network; those of the other monitors record when they begin."""

    seen: list[tuple[float, Grid]]

    def build_monitor(self, settings: MonitorSettings) -> Monitor[Any]:
        if settings.source is None:
            return EmptyMonitor(settings, self.tools, self.seen)
        return UncheckedHttpMonitor(settings, self.tools)


async def _measure(
    folder: Path, count: int, other_count: int, selector: MeasuringSelector
) -> list[tuple[object, ...]]:
    logging.getLogger().setLevel(logging.CRITICAL)
    file, config = folder / "targets.json", folder / "monitord.toml"
    config.write_text(CONFIGURATION.format(file=file))
    _write(file, 0)
    container = DiscoveryBench(read_settings(config), config, environ={})
    container.seen = []
    container.dispatcher.start()
    container.stall_detector.start()
    container.control.apply_first()
    others = [_settings(f"other-{number}") for number in range(other_count)]
    container.dispatcher.apply(container.dispatcher.plan(others, container.build_monitor))
    rows = []
    try:
        gc.collect()
        gc.freeze()  # as the daemon does after its start
        await asyncio.sleep(SETTLE_S)
        names = container.dispatcher.entries
        rows.append(await _row("none", container, selector, lambda: None, lambda: True))
        for change, targets, label in (
            ("added", count, "a"),
            ("changed", count, "b"),
            ("removed", 0, "b"),
        ):
            rows.append(
                await _row(
                    change,
                    container,
                    selector,
                    lambda targets=targets, label=label: _write(file, targets, label),  # type: ignore[misc]
                    lambda targets=targets, label=label: (  # type: ignore[misc]
                        len(names) == other_count + targets
                        and (
                            not targets
                            or f"env:{label}" in names[f"nodes:127.0.0.0:{targets}"].monitor.settings.tags
                        )
                    ),
                )
            )
    finally:
        await container.sources.close()
        await container.dispatcher.close(0.0)
        container.stall_detector.stop()
        await container.http_client.close()
    return rows


async def _row(
    change: str,
    container: DiscoveryBench,
    selector: MeasuringSelector,
    make: Callable[[], None],
    is_done: Callable[[], bool],
) -> tuple[object, ...]:
    container.seen.clear()
    make()
    waited_before_s, began_s = waited_s(os.getpid()), time.monotonic()
    updated_at = container.sources.status()[0].updated_at
    started_s, cpu_s = began_s, time.process_time()
    await asyncio.sleep(0)
    selector.longest_s = 0.0
    while not (is_done() and not container.sources.is_updating):
        await asyncio.sleep(0.005)
        if started_s == began_s and container.sources.status()[0].updated_at == updated_at:
            began_s = started_s = time.monotonic()
            cpu_s = time.process_time()
        if time.monotonic() - began_s > LIMIT_S:
            raise RuntimeError(f"{change}: the monitors do not follow")
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
    await asyncio.sleep(1.0)
    waited = (waited_s(os.getpid()) - waited_before_s) / max(time.monotonic() - began_s, 1e-9)
    late_s = sorted(began - _due(began, grid) for began, grid in container.seen)
    return (
        change,
        f"{took_s:.2f}" if change != "none" else "",
        f"{cpu_s:.2f}" if change != "none" else "",
        milliseconds(selector.longest_s),
        *(milliseconds(quantile(late_s, ratio)) for ratio in (0.5, 0.99)),
        milliseconds(late_s[-1]),
        f"{waited * 1000:.0f}",
    )


def _due(began_s: float, grid: Grid) -> float:
    """The last point of the grid before this moment; a check may begin a little early."""
    return grid.next_after(began_s + TIMER_TOLERANCE_S) - grid.period_s


def _write(file: Path, count: int, label: str = "a") -> None:
    """Replace the file; the last target has the number of targets as its port."""
    addresses = [_address(number) for number in range(max(0, count - 1))]
    groups = [
        {"targets": addresses[first : first + 50], "labels": {"env": label, "team": f"team{first % 7}"}}
        for first in range(0, len(addresses), 50)
    ]
    if count:
        groups.append({"targets": [f"127.0.0.0:{count}"], "labels": {"env": label, "team": "last"}})
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups))
    new.replace(file)


def _address(number: int) -> str:
    """An address of the loopback network, although nothing is sent."""
    return f"127.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}:80"


def _settings(name: str) -> MonitorSettings:
    return MonitorSettings(name, "empty", OTHERS_EVERY_S, 0.2, 0.2, HealthPolicy(), None)
