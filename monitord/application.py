"""All parts of the program, and their dependencies. Nothing here opens, starts or closes anything.

Tests replace a part before its first use: `container.override(ApplicationContainer.clock, FakeClock())`.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitord import __version__, paths
from monitord.alerts import ActionLinks, Alerts, NewNotifier, build_notifier
from monitord.alerts.action_links import KEY_NAME
from monitord.bridges.alert_sink import AlertInputs, AlertSink
from monitord.bridges.recorder import ISOLATION, Recorder
from monitord.bridges.state_times import HistoryTimes
from monitord.clock import Clock, LocalZone, SystemClock
from monitord.container import Container, provide
from monitord.control import Control, StatusLineChanges
from monitord.dispatch import (
    CheckLog,
    Dispatcher,
    LocalPlacement,
    MonitorEntry,
    Pipeline,
    Placement,
    Registry,
    Silences,
    Sink,
    Slots,
    StallDetector,
)
from monitord.history import History, SavedState
from monitord.interventions import Interventions
from monitord.journal.feed import JournalFeeds
from monitord.journal_events import JournalEvent
from monitord.monitors import Monitor, MonitorSettings, Tools, monitor_type
from monitord.monitors.cluster_facts import ClusterFacts
from monitord.net import HttpClient, Processes, Resolver, TlsContexts
from monitord.net.containers import Containers
from monitord.net.dbus.units import Units
from monitord.notifiers import NotifierTools
from monitord.posts import Posts
from monitord.public_pages.pages import PublicPages
from monitord.reports.reports import Reports
from monitord.reports.scheduler import ReportScheduler
from monitord.settings import Settings
from monitord.sources import Sources, SourceTools, UnitRecoveries
from monitord.status import (
    Access,
    AccessPolicy,
    AccessToken,
    ActionLinkPages,
    ClusterSource,
    DaemonStatus,
    Explanations,
    LiveEvents,
    MetricsEndpoint,
    MetricsSources,
    PageParts,
    Pages,
    ReadModel,
    TrustedProxy,
    build_application,
    no_cluster,
)
from monitord.systemd.environment import ServiceEnvironment
from monitord.systemd.notify import SdNotify
from monitord.systemd.watchdog import Watchdog
from monitord.web import Application

if TYPE_CHECKING:
    from monitord.cluster.model import Intervention
    from monitord.cluster.node import ClusterNode
    from monitord.cluster.parts import ClusterParts
    from monitord.cluster.spool import VoteSpool
    from monitord.cluster.store import ClusterStore
    from monitord.cluster.view import ClusterView

DISPATCHER_STALL_S = 10.0
"""The dispatcher is stalled if its earliest check timer is overdue by more than this."""

HISTORY_NAME = "history.sqlite3"


class ApplicationContainer(Container):
    """Constructed from the settings, their file, and the environment that the service manager has passed."""

    def __init__(
        self,
        settings: Settings,
        config: Path = paths.CONFIG,
        service: ServiceEnvironment | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.config = config
        self.service = ServiceEnvironment() if service is None else service
        self.environ = os.environ if environ is None else environ

    # -- environment --------------------------------------------------------------------------------------

    @provide
    def clock(self) -> Clock:
        return SystemClock()

    @provide
    def local_zone(self) -> LocalZone:
        return LocalZone(self.environ)

    @provide
    def sd_notify(self) -> SdNotify:
        return SdNotify(self.service.notify_socket)

    @provide
    def resolver(self) -> Resolver:
        return Resolver()

    @provide
    def tls_contexts(self) -> TlsContexts:
        return TlsContexts()

    @provide
    def http_client(self) -> HttpClient:
        return HttpClient(
            user_agent=f"monitord/{__version__}", resolver=self.resolver, tls_contexts=self.tls_contexts
        )

    @provide
    def processes(self) -> Processes:
        return Processes()

    @provide
    def journal_feeds(self) -> JournalFeeds:
        return JournalFeeds()

    @provide
    def units(self) -> Units:
        return Units()

    @provide
    def containers(self) -> Containers:
        return Containers()

    @provide
    def socket_path(self) -> Path:
        """The path of the status socket if the service manager passes no socket."""
        return self.settings.status.socket or paths.default_socket(
            self.environ, self.service.runtime_directory
        )

    # -- checks -------------------------------------------------------------------------------------------

    @provide
    def tools(self) -> Tools:
        return Tools(
            clock=self.clock,
            http=self.http_client,
            resolver=self.resolver,
            tls_contexts=self.tls_contexts,
            processes=self.processes,
            journal=self.journal_feeds,
            member_states=self.registry.member_states,
            units=self.units,
            containers=self.containers,
            state_times=HistoryTimes(self.registry, self.history),
            cluster=self._cluster_facts,
            heartbeats=None if self.cluster_parts is None else self.cluster_parts.heartbeats,
        )

    @provide
    def registry(self) -> Registry:
        return Registry(self.silences)

    @provide
    def stall_detector(self) -> StallDetector:
        return StallDetector(self.clock)

    @provide
    def check_log(self) -> CheckLog:
        cluster = self.settings.cluster
        return CheckLog(self.settings.log.checks, None if cluster is None else cluster.location)

    @provide
    def slots(self) -> Slots[MonitorEntry]:
        limits = self.settings.limits
        return Slots(limits.max_concurrent_checks, limits.max_concurrent_per_host, limits.by_pool)

    @provide
    def pipeline(self) -> Pipeline:
        return Pipeline(
            self.clock,
            self.stall_detector,
            self.check_log,
            self.registry,
            self.sinks,
            was_isolated=ISOLATION in self.saved_state.daemon_states,
        )

    @provide
    def sinks(self) -> tuple[Sink, ...]:
        """All consumers of results. Each event is delivered to all of them, in this order."""
        return (
            self.recorder,  # the history, and the stored states for a restart
            # After the recorder, so that a transition and its notifications are stored in one transaction.
            self.alert_sink,  # alerts
            self.silences,  # shifted when the wall clock is set
            self.status_line_changes,  # STATUS= for the service manager
            self.live_events,  # events for clients of the status socket
            self.unit_recoveries,  # removal of monitors of failed units
            self.read_model,  # what API, pages and metrics show
            *(
                () if self.cluster_parts is None else self.cluster_parts.sinks
            ),  # what the other nodes have to know
        )

    @provide
    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.pipeline,
            self.slots,
            self.clock,
            self.check_log,
            self.recorder.claim_saved_monitor,
            self.placement,
        )

    @provide
    def placement(self) -> Placement:
        return LocalPlacement() if self.cluster_parts is None else self.cluster_parts.assignment

    @provide
    def unit_recoveries(self) -> UnitRecoveries:
        return UnitRecoveries(self.clock)

    @provide
    def source_tools(self) -> SourceTools:
        return SourceTools(
            clock=self.clock,
            http=self.http_client,
            resolver=self.resolver,
            processes=self.processes,
            units=self.units,
            containers=self.containers,
            tls_contexts=self.tls_contexts,
            recoveries=self.unit_recoveries,
            blocking=self.tools.blocking,
        )

    @provide
    def sources(self) -> Sources:
        return Sources(
            self.dispatcher,
            self.source_tools,
            self.build_monitor,
            self.history.save_daemon_state,
            self.saved_state.daemon_states,
        )

    def build_monitor(self, settings: MonitorSettings) -> Monitor[Any]:
        """Construct a monitor of the type in its settings."""
        monitor_class = monitor_type(settings.type_name)
        if monitor_class is None:
            raise LookupError(f"{settings.name}: type {settings.type_name!r} does not exist")
        return monitor_class(settings, self.tools)

    # -- history ------------------------------------------------------------------------------------------

    @provide
    def history(self) -> History:
        return History(self.history_path, self.settings.history, self.clock)

    @provide
    def history_path(self) -> Path | None:
        """None: no directory is set, and nothing is stored."""
        directory = self.settings.history.directory or self.service.state_directory
        return None if directory is None else directory / HISTORY_NAME

    @provide
    def saved_state(self) -> SavedState:
        """The stored data of earlier runs: the daemon opens the history and overrides this before any other part."""
        return SavedState()

    @provide
    def recorder(self) -> Recorder:
        return Recorder(self.history, self.registry, self.clock, self.saved_state)

    @provide
    def silences(self) -> Silences:
        return Silences(self.history.save_daemon_state, self.saved_state.daemon_states)

    @provide
    def interventions(self) -> Interventions:
        # The interventions of users of an agent apply to its host only, see `cluster.agent`.
        parts = self.cluster_parts
        on_change = None if parts is None or parts.agent is not None else parts.interventions.publish
        return Interventions(self.dispatcher, self.pipeline, self.silences, self.clock, on_change)

    @provide
    def posts(self) -> Posts:
        return Posts(self.clock, self.history.save_daemon_state, self.saved_state.daemon_states)

    # -- cluster ------------------------------------------------------------------------------------------

    @provide
    def cluster_store(self) -> "ClusterStore | None":
        """The database of the cluster, or its hubs; None without [cluster], when no module of it is imported."""
        if self.settings.cluster is None:
            return None
        if self.settings.cluster.hub is not None:
            from monitord.cluster.agent import HubStore  # noqa: PLC0415 - see above

            return HubStore(self.settings.cluster.hub, self.http_client, self.clock)
        from monitord.cluster.database import ClusterDatabase  # noqa: PLC0415 - see above

        return ClusterDatabase(self.settings.cluster.database.reveal(), self.clock, self.resolver)

    @provide
    def vote_spool(self) -> "VoteSpool | None":
        """The votes of an agent that are not reported yet; None without `hub` in [cluster]."""
        cluster = self.settings.cluster
        if cluster is None or cluster.hub is None:
            return None
        from monitord.cluster.spool import VoteSpool  # noqa: PLC0415 - see `cluster_store`

        return VoteSpool(cluster.location, self.history.save_daemon_state, self.saved_state.daemon_states)

    @provide
    def cluster_parts(self) -> "ClusterParts | None":
        """The parts of the node that checks and alerts use; None without [cluster]."""
        if self.settings.cluster is None or self.cluster_store is None:
            return None
        from monitord.cluster.parts import ClusterParts  # noqa: PLC0415 - see `cluster_store`

        return ClusterParts.of(
            self.settings.cluster,
            self.cluster_store,
            self.vote_spool,
            self.registry,
            self.clock,
            self.history.save_daemon_state,
            self.saved_state.daemon_states,
        )

    @provide
    def cluster_node(self) -> "ClusterNode | None":
        """This daemon as a node of the cluster; None without [cluster]."""
        if self.settings.cluster is None or self.cluster_parts is None:
            return None
        from monitord.cluster.node import ClusterNode  # noqa: PLC0415 - see `cluster_store`

        return ClusterNode(
            self.settings.cluster,
            self.cluster_parts,
            self.dispatcher,
            self.pipeline,
            self.alert_inputs.of,
            self.alerts,
            self._apply_intervention,
            self.clock,
        )

    def _apply_intervention(self, intervention: "Intervention") -> None:
        """Apply an intervention of another node."""
        if intervention.kind.value == "link_use" and intervention.record is not None:
            self.action_links.note_used(intervention.key, intervention.record)
        else:
            self.interventions.apply(intervention)

    # -- notifications ------------------------------------------------------------------------------------

    @provide
    def alerts(self) -> Alerts:
        return Alerts(
            self.notifier_tools,
            self.host_name,
            self.history.save_daemon_state,
            self.history.wait_until_stored,
            self.alert_inputs.of,
            self.alert_inputs.context_of,
            self.saved_state.daemon_states,
            self.action_links,
            self.new_notifier,
            None if self.cluster_parts is None else self.cluster_parts.scope,
        )

    @provide
    def new_notifier(self) -> NewNotifier:
        return build_notifier

    @provide
    def action_links(self) -> ActionLinks:
        key_path = None if self.history_path is None else self.history_path.with_name(KEY_NAME)
        return ActionLinks(
            key_path,
            self.clock,
            self.history.save_daemon_state,
            self.saved_state.daemon_states,
            self._publish_link_use,
        )

    def _publish_link_use(self, link_id: str, record: Mapping[str, Any]) -> None:
        if self.cluster_parts is not None:
            from monitord.cluster.model import Intervention, InterventionKind  # noqa: PLC0415 - see `cluster_store`

            self.cluster_parts.interventions.publish(Intervention(InterventionKind.LINK_USE, link_id, record))

    @provide
    def notifier_tools(self) -> NotifierTools:
        return NotifierTools(self.clock, self.http_client, self.processes)

    @provide
    def host_name(self) -> str:
        """The host name for notifications. It is not resolved, because a lookup could delay the start."""
        return socket.gethostname()

    @provide
    def alert_inputs(self) -> AlertInputs:
        return AlertInputs(self.registry, self.clock)

    @provide
    def alert_sink(self) -> AlertSink:
        return AlertSink(self.alerts, self.alert_inputs, self.registry)

    # -- reports, and public pages ------------------------------------------------------------------------

    @provide
    def reports(self) -> Reports:
        return Reports(
            self.history, self.registry, self.clock, self.host_name, self.settings.status.public_url
        )

    @provide
    def report_scheduler(self) -> ReportScheduler:
        return ReportScheduler(
            self.reports,
            self.registry,
            self.clock,
            self.notifier_tools,
            self.history.save_daemon_state,
            self.saved_state.daemon_states,
        )

    @provide
    def public_pages(self) -> PublicPages:
        return PublicPages(self.registry, self.history, self.posts, self.clock)

    # -- the daemon ---------------------------------------------------------------------------------------

    @provide
    def control(self) -> Control:
        return Control(
            config=self.config,
            settings=self.settings,
            dispatcher=self.dispatcher,
            sources=self.sources,
            build=self.build_monitor,
            check_log=self.check_log,
            history=self.history,
            alerts=self.alerts,
            sd_notify=self.sd_notify,
            clock=self.clock,
            on_reload=(
                self.live_events.on_reload,
                self.read_model.on_reload,
                self.status_line_changes.on_reload,
            ),
            on_apply=(
                lambda settings: self.report_scheduler.apply(settings.reports, settings.alerts.notifiers),
                lambda settings: self.public_pages.apply(settings.pages, settings.maintenance),
                self._apply_to_cluster,
            ),
        )

    def _apply_to_cluster(self, settings: Settings) -> None:
        if self.cluster_node is not None:
            self.cluster_node.apply(settings.monitors, settings.alerts)

    @provide
    def status_line_changes(self) -> StatusLineChanges:
        return StatusLineChanges()

    @provide
    def watchdog(self) -> Watchdog:
        return Watchdog(
            self.sd_notify,
            self.service.watchdog_s,
            {"dispatcher": self._dispatcher_stall, "history": self.history.stall_description},
            lost_message_id=JournalEvent.WATCHDOG_STALL_BEGINS.message_id,
            resumed_message_id=JournalEvent.WATCHDOG_STALL_ENDS.message_id,
        )

    def _dispatcher_stall(self) -> str | None:
        overdue_s = self.dispatcher.overdue_s()
        return f"a check has been due for {overdue_s:.0f} s" if overdue_s > DISPATCHER_STALL_S else None

    # -- status -------------------------------------------------------------------------------------------

    @provide
    def cluster_source(self) -> ClusterSource:
        """Returns the cluster as this node sees it, for API, pages and metrics; None without [cluster]."""
        return no_cluster if self.settings.cluster is None else self._cluster_view

    def _cluster_view(self) -> "ClusterView | None":
        # Not a part: the node needs the dispatcher, which needs the read model, which reads the view.
        return None if self.cluster_node is None else self.cluster_node.view()

    def _cluster_facts(self) -> ClusterFacts | None:
        # Not a part, for the same reason.
        return None if self.cluster_node is None else self.cluster_node.facts()

    @provide
    def read_model(self) -> ReadModel:
        return ReadModel(self.registry, self.clock, self.cluster_source)

    @provide
    def daemon_status(self) -> DaemonStatus:
        return DaemonStatus(
            self.read_model,
            self.dispatcher,
            self.stall_detector,
            self.history,
            self.alerts,
            self.control,
            self.sources,
        )

    @provide
    def explanations(self) -> Explanations:
        return Explanations(self.dispatcher, self.pipeline, self.alerts, self.clock, self.cluster_source)

    @provide
    def live_events(self) -> LiveEvents:
        return LiveEvents(
            max_per_address=self.settings.status.max_event_streams_per_address, clock=self.clock
        )

    @provide
    def metrics_sources(self) -> MetricsSources:
        return MetricsSources(
            self.read_model,
            self.daemon_status,
            self.access,
            self.dispatcher,
            self.stall_detector,
            self.control,
            self.live_events,
            self.history,
            self.alerts,
            self.sources,
            self.report_scheduler,
            self.cluster_source,
        )

    @provide
    def metrics_endpoint(self) -> MetricsEndpoint:
        return MetricsEndpoint(self.metrics_sources, self.clock)

    @provide
    def access(self) -> Access:
        status = self.settings.status
        proxy = None
        if status.proxy_socket is not None:
            proxy = TrustedProxy(str(status.proxy_socket), status.user_header)
        tokens = tuple(
            AccessToken(token.name, token.token, token.rights, token.locations) for token in status.tokens
        )
        return Access(AccessPolicy(frozenset(status.allowed_hosts), tokens, proxy), self.clock)

    @provide
    def pages(self) -> Pages:
        return Pages(
            PageParts(
                self.dispatcher,
                self.pipeline,
                self.read_model,
                self.daemon_status,
                self.control,
                self.interventions,
                self.alerts,
                self.posts,
                self.history,
                self.clock,
            )
        )

    @provide
    def action_link_pages(self) -> ActionLinkPages:
        return ActionLinkPages(
            self.alerts,
            self.action_links,
            self.registry,
            self.interventions,
            self.access,
            self.history,
            self.clock,
        )

    @provide
    def status_application(self) -> Application:
        return build_application(
            self.read_model,
            self.daemon_status,
            self.control,
            self.history,
            self.live_events,
            self.access,
            self.metrics_endpoint,
            self.interventions,
            self.explanations.explain,
            self.alerts,
            self.reports,
            self.report_scheduler,
            self.posts,
            self.dispatcher.overdue_s,
            public_pages=self.public_pages,
            pages=self.pages,
            action_links=self.action_link_pages,
            hub=lambda: None if self.cluster_node is None else self.cluster_node.hub,
        )
