"""What people and machines see of the running daemon: an application on `monitord.web`.

`model` is the read model, `api` the versioned HTTP API with its OpenAPI document, `pages` the status pages, and
`metrics` the page for Prometheus. `access` says which request may do what. `assembly` makes one application of them.
"""

from monitord.status.access.control import Control, Interventions, ReloadOutcome
from monitord.status.access.security import Access, AccessPolicy
from monitord.status.api.live import Live
from monitord.status.assembly import build_application
from monitord.status.metrics.collector import MetricsCollector, MetricsPage
from monitord.status.metrics.daemon import Own
from monitord.status.model.explain import Explanations
from monitord.status.model.reads import Reads
from monitord.status.model.recent import Recent
from monitord.status.model.snapshot import Snapshots
from monitord.status.model.tally import Tally
from monitord.status.pages.handlers import Pages
from monitord.status.pages.past import Past

__all__ = [
    "Access",
    "AccessPolicy",
    "Control",
    "Explanations",
    "Interventions",
    "Live",
    "MetricsCollector",
    "MetricsPage",
    "Own",
    "Pages",
    "Past",
    "Reads",
    "Recent",
    "ReloadOutcome",
    "Snapshots",
    "Tally",
    "build_application",
]
