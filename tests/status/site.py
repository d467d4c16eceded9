"""The pages over a real dispatcher, whose monitors answer what they are told to, and a history out of thin air."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from monitord.alerts import Alerts
from monitord.clock import Clock, SystemClock
from monitord.conditions import parse_condition
from monitord.config import Table
from monitord.dispatch import (
    CheckLog,
    Dispatcher,
    LoggedChecks,
    LoopPulse,
    Pipeline,
    Places,
    Roster,
    Sink,
    Watched,
)
from monitord.health import HealthPolicy
from monitord.history import History, HistorySettings
from monitord.interventions import Interventions, Silences
from monitord.model import EXCERPT, Fact, Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Tools
from monitord.monitors.http.monitor import HttpMonitor
from monitord.net import HttpClient, Resolver, TlsContexts
from monitord.status import (
    Access,
    AccessPolicy,
    Explanations,
    Live,
    MetricsEndpoint,
    MetricsSources,
    Pages,
    Past,
    Reads,
    Recent,
    ReloadOutcome,
    Snapshots,
    Tally,
    build_application,
)
from monitord.web import Application
from tests.endpoint import ACCEPTED, FakeControl
from tests.fakes import alerts_of_nobody, monitor_settings
from tests.status.past import FakePast

CERTIFICATE: Mapping[str, Fact] = {
    "certificate.expires_in": 61 * 86400.0,
    "certificate.expires_at": "2027-01-26T08:00:00+00:00",
    "certificate.issuer": "CN=R11, O=Let's Encrypt, C=US",
    "certificate.subject": "CN=shop.example.org",
}
FACTS: Mapping[str, Fact] = {
    "response_time": 0.182,
    "phase.resolve": 0.004,
    "phase.connect": 0.018,
    "phase.tls": 0.031,
    "phase.processing": 0.12,
    "phase.transfer": 0.009,
    "status": 200,
    "http_version": "1.1",
    "address": "192.0.2.17",
    "redirects": 0,
    "body.length": 648,
}


class ToldMonitor(Monitor[Any]):
    """Answers `reason` and `detail` at every check."""

    type_name: ClassVar[str] = "http"
    looks_outward = False  # so that failures of a few are not taken for an isolation

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.reason = Reason.OK
        self.subject = f"GET https://{settings.name}.example.org/"
        self.outcome = "HTTP 200"
        self.facts: Mapping[str, Fact] = FACTS

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        return Observation(
            self.tools.clock.now(),
            0.182,
            self.reason,
            f"{self.subject} {self.outcome}, 648 bytes, 0.182 s",
            self.facts,
            address="192.0.2.17",
            evidence=lambda name, _: "<html>Sorry & bye</html>" if name == EXCERPT else None,
            subject=self.subject,
            outcome=self.outcome,
        )


@dataclass
class Site:
    """`recent` hears of every check, as in the daemon."""

    clock: Clock
    pipeline: Pipeline
    dispatcher: Dispatcher
    recent: Recent
    control: FakeControl
    pages: Pages
    application: Application
    alerts: Alerts
    monitors: dict[str, ToldMonitor] = field(default_factory=dict)

    async def fail(self, name: str, reason: Reason = Reason.REFUSED, times: int = 2) -> None:
        """So often in a row that it is believed."""
        self.monitors[name].reason = reason
        self.monitors[name].outcome = reason.meaning
        for _ in range(times):
            await self.dispatcher.check_now(name)

    async def check(self, *names: str) -> None:
        await asyncio.gather(*(self.dispatcher.check_now(name) for name in names))


@asynccontextmanager
async def site(
    tags: Mapping[str, tuple[str, ...]],
    *,
    past: Past | None = None,
    clock: Clock | None = None,
    outcome: ReloadOutcome = ACCEPTED,
    history_wait_s: float = 3.0,
    roster: Roster | None = None,
    sinks: tuple[Sink, ...] = (),
) -> AsyncIterator[Site]:
    """Monitors by their names and tags; none was checked yet."""
    clock = SystemClock() if clock is None else clock
    resolver, contexts = Resolver(), TlsContexts()
    tools = Tools(
        clock, HttpClient(user_agent="tests", resolver=resolver, tls_contexts=contexts), resolver, contexts
    )
    check_log = CheckLog(LoggedChecks.CHANGES)
    places: Places[Watched] = Places(10_000, 10_000)
    pulse = LoopPulse(clock)
    recent, live, tally = Recent(), Live(), Tally(clock)
    pipeline = Pipeline(clock, pulse, check_log, roster, (*sinks, recent, live, tally))
    dispatcher = Dispatcher(pipeline, places, clock, check_log)
    control = FakeControl(dispatcher, outcome)
    history = History(None, HistorySettings(), clock)
    alerts = alerts_of_nobody(clock)
    snapshots = Snapshots(dispatcher, pulse, history, alerts, clock)
    past = FakePast(datetime.now(UTC)) if past is None else past
    pages = Pages(dispatcher, snapshots, control, recent, past, clock, history_wait_s)
    application = _application(
        clock, pulse, pipeline, dispatcher, control, history, alerts, pages, live, tally
    )
    policy = HealthPolicy(fail_after=2, degrade_after=1)
    up_when = (parse_condition("status < 500", HttpMonitor.vocabulary),)
    wanted = [
        replace(
            monitor_settings(name, tags=given, type_name="http", check_every_s=30.0, policy=policy),
            up_when=up_when,
        )
        for name, given in tags.items()
    ]
    monitors = {one.name: ToldMonitor(one, tools) for one in wanted}
    dispatcher.apply(dispatcher.plan(wanted, lambda settings: monitors[settings.name]))
    try:
        yield Site(clock, pipeline, dispatcher, recent, control, pages, application, alerts, monitors)
    finally:
        await dispatcher.close(0.0)
        await alerts.close()


def _application(
    clock: Clock,
    pulse: LoopPulse,
    pipeline: Pipeline,
    dispatcher: Dispatcher,
    control: FakeControl,
    history: History,
    alerts: Alerts,
    pages: Pages,
    live: Live,
    tally: Tally,
) -> Application:
    snapshots = Snapshots(dispatcher, pulse, history, alerts, clock)
    sources = MetricsSources(snapshots, dispatcher, pulse, control, live, tally, history, alerts)
    return build_application(
        Reads(snapshots, dispatcher, control, clock),
        control,
        history,
        live,
        Access(AccessPolicy(), clock, tally),
        MetricsEndpoint(sources, clock),
        Interventions(dispatcher, pipeline, Silences(pipeline.roster, clock, lambda _, __: None), clock),
        Explanations(dispatcher, pipeline, alerts, clock).explain,
        alerts,
        lambda: 0.0,
        pages,
    )


@asynccontextmanager
async def usual_site(past: Past | None = None, history_wait_s: float = 3.0) -> AsyncIterator[Site]:
    """One of each state, in two groups."""
    tags = {
        "shop": ("prod", "web"),
        "bad": ("prod",),
        "slow": ("prod", "web"),
        "blog": ("web",),
        "a.b-c_d": (),
        "new": ("prod",),
    }
    async with site(tags, past=past, history_wait_s=history_wait_s) as one:
        one.monitors["shop"].facts = {**FACTS, **CERTIFICATE}
        await one.check("shop", "blog", "a.b-c_d")
        await one.fail("bad")
        await one.fail("slow", Reason.PLUGIN_WARNING)
        yield one
