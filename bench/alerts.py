"""The CPU time that alerts add to a check: the pipeline with alerts, and without.

All monitors are up, then all go down and stay down, then all recover. One notifier delivers at once; alerts are stored
in a real history.
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
from monitord.alerts.action_links import ActionLinks
from monitord.bridges.alert_sink import (
    AlertInputs,
    AlertSink,
)
from monitord.clock import SystemClock
from monitord.config import Table
from monitord.dispatch import (
    CheckLog,
    Dispatcher,
    LoggedChecks,
    MonitorEntry,
    Pipeline,
    Registry,
    Slots,
    StallDetector,
)
from monitord.health import HealthPolicy
from monitord.history import History, HistorySettings
from monitord.model import Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.notifiers import NOTIFIER_TYPES, Message, Notifier, NotifierSettings, NotifierTools

AT_ONCE = 200
"""Checks between two iterations of the loop, in which the delivery worker and the history run."""


class SwitchedMonitor(Monitor[None]):
    """Returns the reason that is set for all of them."""

    type_name: ClassVar[str] = "switched"
    reason: ClassVar[Reason] = Reason.OK
    uses_network = False

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        return Stopwatch(self.tools.clock).observation(SwitchedMonitor.reason, "GET https://www.example.org/")


class InstantNotifier(Notifier[None]):
    type_name: ClassVar[str] = "instant"
    delivered: ClassVar[int] = 0

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def deliver(self, message: Message, *, deadline: float) -> str:
        del deadline
        InstantNotifier.delivered += len(message.notifications)
        return "delivered"


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
            notifier_tools,
            "bench",
            history.save_daemon_state,
            history.wait_until_stored,
            alert_inputs.of,
            alert_inputs.context_of,
            {},
            ActionLinks(None, clock, history.save_daemon_state, {}),
        )
        sinks = (AlertSink(alerts, alert_inputs, registry),) if with_alerts else ()
        pipeline = Pipeline(clock, StallDetector(clock), check_log, registry, sinks)
        slots: Slots[MonitorEntry] = Slots(256, 8)
        dispatcher = Dispatcher(pipeline, slots, clock, check_log)
        if with_alerts:
            ops = NotifierSettings("ops", "instant", None, group_wait_s=0.0, max_messages_per_minute=600)
            alerts.apply(AlertSettings((ops,)))
        wanted = [_settings(f"m{number:05}") for number in range(monitors)]
        dispatcher.apply(dispatcher.plan(wanted, lambda settings: SwitchedMonitor(settings, tools)))
        entries = list(dispatcher.entries.values())
        phases = []
        for name, reason, times in (
            ("all are up", Reason.OK, rounds),
            ("all go down", Reason.REFUSED, 2),
            ("all stay down", Reason.REFUSED, rounds),
            ("all recover", Reason.OK, 1),
        ):
            SwitchedMonitor.reason = reason
            phases.append(await _run(name, pipeline, entries, times))
        async with asyncio.timeout(60):
            while alerts.queue_length("ops"):  # noqa: ASYNC110 - there is no event for an empty queue
                await asyncio.sleep(0.05)
        await dispatcher.close(1.0)
        await alerts.close()
        await history.close(10.0)
        await http.close()
    return phases


async def _run(name: str, pipeline: Pipeline, entries: list[MonitorEntry], times: int) -> Phase:
    gc.collect()
    before_s = time.process_time()
    for _ in range(times):
        for start in range(0, len(entries), AT_ONCE):
            for checked in entries[start : start + AT_ONCE]:
                await pipeline.run(checked, lambda: True)
            await asyncio.sleep(0)
    cpu_s = time.process_time() - before_s
    return Phase(name, cpu_s / times / len(entries) * 1e6)


def _settings(name: str) -> MonitorSettings:
    policy = HealthPolicy(fail_after=2, detects_flapping=False)
    return MonitorSettings(
        name=name,
        type_name=SwitchedMonitor.type_name,
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
    NOTIFIER_TYPES["instant"] = InstantNotifier
    without_alerts = asyncio.run(_measure(options.monitors, options.rounds, with_alerts=False))
    with_alerts = asyncio.run(_measure(options.monitors, options.rounds, with_alerts=True))
    rows = [
        (before.name, f"{before.cpu_us:.0f}", f"{after.cpu_us:.0f}", f"{after.cpu_us / before.cpu_us:.2f}")
        for before, after in zip(without_alerts, with_alerts, strict=True)
    ]
    head = ("phase", "CPU per check without alerts, µs", "with alerts, µs", "ratio")
    delivered = f"{InstantNotifier.delivered} of {2 * options.monitors} notifications were delivered."
    return f"{markdown(head, rows)}\n\n{delivered}"
