"""The status of the running daemon over HTTP: an application on `monitord.web`.

`model` is the read model, `api` the versioned HTTP API with its OpenAPI document, `pages` the status pages, and
`metrics` the page for Prometheus. `access` authorizes requests. `assembly` builds the application from them.
"""

from monitord.status.access.operations import ReloadOutcome
from monitord.status.access.security import Access, AccessPolicy, AccessToken, TrustedProxy
from monitord.status.api.events import LiveEvents
from monitord.status.assembly import build_application
from monitord.status.metrics.endpoint import MetricsEndpoint
from monitord.status.metrics.sources import MetricsSources
from monitord.status.model.cluster import ClusterSource, no_cluster
from monitord.status.model.daemon_status import DaemonStatus
from monitord.status.model.explain import Explanations
from monitord.status.model.read_model import ReadModel
from monitord.status.pages.action_links import ActionLinkPages
from monitord.status.pages.parts import PageParts
from monitord.status.pages.past import PageHistory
from monitord.status.pages.routes import Pages

__all__ = [
    "Access",
    "AccessPolicy",
    "AccessToken",
    "ActionLinkPages",
    "ClusterSource",
    "DaemonStatus",
    "Explanations",
    "LiveEvents",
    "MetricsEndpoint",
    "MetricsSources",
    "PageHistory",
    "PageParts",
    "Pages",
    "ReadModel",
    "ReloadOutcome",
    "TrustedProxy",
    "build_application",
    "no_cluster",
]
