"""Builds the application that is served on every socket of the daemon."""

from collections.abc import Callable

from monitord.alerts import Alerts
from monitord.conditional_requests import conditional_get
from monitord.history import History
from monitord.posts import Posts
from monitord.public_pages.pages import PublicPages
from monitord.public_pages.serving import add_published_pages, page_hosts
from monitord.reports.reports import Reports
from monitord.reports.scheduler import ReportScheduler
from monitord.status.access.operations import DaemonOperations, Explain, InterventionOperations
from monitord.status.access.security import Access
from monitord.status.api.endpoints import build_api
from monitord.status.api.events import LiveEvents
from monitord.status.api.openapi import PREFIX
from monitord.status.api.reports import HubSource, no_hub
from monitord.status.api.short import add_short_forms
from monitord.status.metrics.endpoint import MetricsEndpoint
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.read_model import ReadModel
from monitord.status.pages.action_links import ActionLinkPages
from monitord.status.pages.routes import Pages
from monitord.web import Application


def build_application(
    model: ReadModel,
    status: DaemonStatus,
    control: DaemonOperations,
    history: History,
    live_events: LiveEvents,
    access: Access,
    metrics: MetricsEndpoint,
    interventions: InterventionOperations,
    explain: Explain,
    alerts: Alerts,
    reports: Reports,
    report_scheduler: ReportScheduler,
    posts: Posts,
    overdue_s: Callable[[], float],
    public_pages: PublicPages,
    pages: Pages | None = None,
    action_links: ActionLinkPages | None = None,
    hub: HubSource = no_hub,
) -> Application:
    application = Application(middlewares=[page_hosts(public_pages), access.guard, conditional_get])
    add_short_forms(application, model, status, control, overdue_s)
    application.router.add_get("/metrics", metrics.handle)
    api = build_api(
        model,
        status,
        control,
        history,
        live_events,
        interventions,
        explain,
        alerts,
        reports,
        report_scheduler,
        posts,
        public_pages,
        hub,
    )
    application.add_subapp(PREFIX, api)
    add_published_pages(application, public_pages)
    if pages is not None:
        pages.add_to(application)
    if action_links is not None:
        action_links.add_to(application)
    return application
