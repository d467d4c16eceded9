"""What telling people costs the checks: the road of a check with alerts behind it, beside the same without.

All monitors are well, then all go down and stay so, then all are up again. One notifier takes what it gets at once;
what is kept goes into a real history.
"""

import argparse
import asyncio
import gc
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.measure import markdown
from monitord.alerts import Alerts, AlertSettings
from monitord.bridges.alert_publisher import (
    AlertInputs,
    AlertPublisher,
)
from monitord.clock import SystemClock
from monitord.config import Table
from monitord.dispatch import (
    CheckLog,
    Dispatcher,
    LoggedChecks,
    Pipeline,
    Registry,
    Slots,
    StallDetector,
    Watched,
)
from monitord.health import HealthPolicy
from monitord.history import History, HistorySettings
from monitord.model import Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.notifiers import NOTIFIER_TYPES, Message, Notifier, NotifierSettings, NotifierTools

AT_ONCE = 200
"""Checks between two turns of the loop in which workers and the history get on."""


class TurnedMonitor(Monitor[None]):
    """Answers what all are told to."""

    type_name: ClassVar[str] = "turned"
    reason: ClassVar[Reason] = Reason.OK
    uses_network = False

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        return Stopwatch(self.tools.clock).observation(TurnedMonitor.reason, "GET https://www.example.org/")


class TakingNotifier(Notifier[None]):
    type_name: ClassVar[str] = "taking"
    taken: ClassVar[int] = 0

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def deliver(self, message: Message, *, deadline: float) -> str:
        del deadline
        TakingNotifier.taken += len(message.notifications)
        return "taken"


@dataclass(frozen=True, slots=True)
class Phase:
    name: str
    cpu_us: float


async def _measure(monitors: int, rounds: int, *, with_alerts: bool) -> list[Phase]:
    clock = SystemClock()
    check_log = CheckLog(LoggedChecks.CHANGES)
    registry = Registry()
    alert_inputs = AlertInputs(registry, clock)
    resolver, contexts = Resolver(), TlsContexts()
    http = HttpClient(user_agent="bench", resolver=resolver, tls_contexts=contexts)
    tools = Tools(clock, http, resolver, contexts)
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.sqlite3", HistorySettings(), clock)
        history.open()
        history.start()
        notifier_tools = NotifierTools(clock, http, Processes())
        alerts = Alerts(
            notifier_tools, "bench", history.save_daemon_state, history.wait_until_stored, alert_inputs.of, {}
        )
        sinks = (AlertPublisher(alerts, alert_inputs, registry),) if with_alerts else ()
        pipeline = Pipeline(clock, StallDetector(clock), check_log, registry, sinks)
        slots: Slots[Watched] = Slots(256, 8)
        dispatcher = Dispatcher(pipeline, slots, clock, check_log)
        if with_alerts:
            ops = NotifierSettings("ops", "taking", None, group_wait_s=0.0, max_per_minute=600)
            alerts.apply(AlertSettings((ops,)))
        wanted = [_settings(f"m{number:05}") for number in range(monitors)]
        dispatcher.apply(dispatcher.plan(wanted, lambda settings: TurnedMonitor(settings, tools)))
        watched = list(dispatcher.watched.values())
        phases = []
        for name, reason, times in (
            ("all are well", Reason.OK, rounds),
            ("all go down", Reason.REFUSED, 2),
            ("all stay down", Reason.REFUSED, rounds),
            ("all are up again", Reason.OK, 1),
        ):
            TurnedMonitor.reason = reason
            phases.append(await _run(name, pipeline, watched, times))
        async with asyncio.timeout(60):
            while alerts.queue_length("ops"):  # noqa: ASYNC110 - nothing tells when the last one has gone
                await asyncio.sleep(0.05)
        await dispatcher.close(1.0)
        await alerts.close()
        await history.close(10.0)
        await http.close()
    return phases


async def _run(name: str, pipeline: Pipeline, watched: list[Watched], times: int) -> Phase:
    gc.collect()
    before_s = time.process_time()
    for _ in range(times):
        for start in range(0, len(watched), AT_ONCE):
            for one in watched[start : start + AT_ONCE]:
                await pipeline.run(one, lambda: True)
            await asyncio.sleep(0)
    cpu_s = time.process_time() - before_s
    return Phase(name, cpu_s / times / len(watched) * 1e6)


def _settings(name: str) -> MonitorSettings:
    policy = HealthPolicy(fail_after=2, detects_flapping=False)
    return MonitorSettings(
        name=name,
        type_name=TurnedMonitor.type_name,
        check_every_s=3600.0,
        timeout_s=5.0,
        retry_every_s=5.0,
        policy=policy,
        options=None,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)


def main(options: Any) -> str:
    logging.getLogger().setLevel(logging.CRITICAL)
    NOTIFIER_TYPES["taking"] = TakingNotifier
    without = asyncio.run(_measure(options.monitors, options.rounds, with_alerts=False))
    with_them = asyncio.run(_measure(options.monitors, options.rounds, with_alerts=True))
    rows = [
        (one.name, f"{one.cpu_us:.0f}", f"{other.cpu_us:.0f}", f"{other.cpu_us / one.cpu_us:.2f}")
        for one, other in zip(without, with_them, strict=True)
    ]
    head = ("what", "CPU of a check without, us", "with alerts, us", "ratio")
    return f"{markdown(head, rows)}\n\n{TakingNotifier.taken} notifications were taken, of {2 * options.monitors}."
