"""The pages on a real dispatcher, with monitors that return what a test sets, and a generated history."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from monitord.application import ApplicationContainer
from monitord.clock import Clock
from monitord.conditions import Vocabulary, parse_condition
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import EXCERPT, FieldValue, Observation, Reason
from monitord.monitors import Monitor, MonitorSettings, Tools
from monitord.monitors.domain import DomainMonitor
from monitord.monitors.http.monitor import HttpMonitor
from monitord.status import (
    ClusterSource,
    PageHistory,
    PageParts,
    Pages,
    ReloadOutcome,
)
from tests.endpoint import ACCEPTED, RecordedWorld
from tests.fakes import FakeClock, monitor_settings
from tests.status.past import FakePast

CERTIFICATE: Mapping[str, FieldValue] = {
    "certificate.expires_in": 61 * 86400.0,
    "certificate.expires_at": "2027-01-26T08:00:00+00:00",
    "certificate.issuer": "CN=R11, O=Let's Encrypt, C=US",
    "certificate.subject": "CN=shop.example.org",
}
FIELDS: Mapping[str, FieldValue] = {
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


class ScriptedMonitor(Monitor[Any]):
    """Returns `reason` and `outcome` at every check, once `may_end` is set."""

    type_name: ClassVar[str] = "http"
    # Its results can have the fields of both types.
    vocabulary: ClassVar[Vocabulary] = Vocabulary(
        {**HttpMonitor.vocabulary.fields, **DomainMonitor.vocabulary.fields}
    )
    uses_network = False  # so that failures of a few are not taken for an isolation

    def __init__(self, settings: MonitorSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self.reason = Reason.OK
        self.subject = f"GET https://{settings.name}.example.org/"
        self.outcome = "HTTP 200"
        self.fields: Mapping[str, FieldValue] = FIELDS
        self.may_end = asyncio.Event()
        self.may_end.set()

    @classmethod
    def read_options(cls, table: Table) -> None:
        table.ignore_others()

    async def check(self) -> Observation:
        await self.may_end.wait()
        return Observation(
            self.tools.clock.now(),
            0.182,
            self.reason,
            f"{self.subject} {self.outcome}, 648 bytes, 0.182 s",
            self.fields,
            address="192.0.2.17",
            response_data=lambda name, _: "<html>Sorry & bye</html>" if name == EXCERPT else None,
            subject=self.subject,
            outcome=self.outcome,
        )


class Site(RecordedWorld):
    """Monitors by their names and tags; none has been checked yet."""

    def __init__(
        self,
        tags: Mapping[str, tuple[str, ...]],
        past: PageHistory | None = None,
        clock: Clock | None = None,
        outcome: ReloadOutcome = ACCEPTED,
        history_wait_s: float = 3.0,
        history_path: Path | None = None,
        check_wait_s: float = 10.0,
        cluster: ClusterSource | None = None,
    ) -> None:
        super().__init__(
            clock=clock or FakeClock(), outcome=outcome, history_path=history_path, cluster=cluster
        )
        if past is None and history_path is None:
            past = FakePast(self.clock.now())
        if past is not None:
            parts = PageParts(
                self.dispatcher,
                self.pipeline,
                self.read_model,
                self.daemon_status,
                self.control,
                self.interventions,
                self.alerts,
                self.posts,
                past,
                self.clock,
                history_wait_s,
                check_wait_s,
            )
            pages = Pages(parts)
            self.override(ApplicationContainer.pages, pages)
        policy = HealthPolicy(fail_after=2, degrade_after=1)
        up_when = (parse_condition("status < 500", HttpMonitor.vocabulary),)
        self.monitors: dict[str, ScriptedMonitor] = {}
        for name, given in tags.items():
            settings = monitor_settings(name, tags=given, type_name="http", check_every_s=30.0, policy=policy)
            self.monitors[name] = ScriptedMonitor(replace(settings, up_when=up_when), self.tools)
        self.add(*self.monitors.values())

    async def fail(self, name: str, reason: Reason = Reason.REFUSED, times: int = 2) -> None:
        """Check the monitor with this reason, by default until the failure is confirmed."""
        self.monitors[name].reason = reason
        self.monitors[name].outcome = reason.meaning.replace("`", "")
        for _ in range(times):
            await self.dispatcher.check_now(name)

    async def check(self, *names: str) -> None:
        await asyncio.gather(*(self.dispatcher.check_now(name) for name in names))


@asynccontextmanager
async def site(
    tags: Mapping[str, tuple[str, ...]],
    *,
    past: PageHistory | None = None,
    clock: Clock | None = None,
    outcome: ReloadOutcome = ACCEPTED,
    history_wait_s: float = 3.0,
    history_path: Path | None = None,
    check_wait_s: float = 10.0,
    cluster: ClusterSource | None = None,
) -> AsyncIterator[Site]:
    """The pages show `past`, or the history at `history_path`, which the caller opens and closes."""
    running_site = Site(tags, past, clock, outcome, history_wait_s, history_path, check_wait_s, cluster)
    try:
        yield running_site
    finally:
        await running_site.close()


@asynccontextmanager
async def usual_site(past: PageHistory | None = None, history_wait_s: float = 3.0) -> AsyncIterator[Site]:
    """Monitors in several states, in two groups."""
    tags = {
        "shop": ("prod", "web"),
        "bad": ("prod",),
        "slow": ("prod", "web"),
        "blog": ("web",),
        "a.b-c_d": (),
        "new": ("prod",),
    }
    async with site(tags, past=past, history_wait_s=history_wait_s) as world:
        world.monitors["shop"].fields = {**FIELDS, **CERTIFICATE}
        await world.check("shop", "blog", "a.b-c_d")
        await world.fail("bad")
        await world.fail("slow", Reason.PLUGIN_WARNING)
        yield world
