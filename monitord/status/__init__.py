"""What people and machines see of the running daemon: an application on `monitord.web`.

`snapshot` reads, `rendered` keeps what is read often; `api`, `actions`, `interventions`, `live` and `short` answer, and
`openapi` is the table of what they have; `pages` shows it to people. `control` is what may be asked of the daemon,
`security` by whom.
"""

from monitord.status.assembly import build_application
from monitord.status.control import Control, Interventions, ReloadOutcome
from monitord.status.explain import Explanations
from monitord.status.live import Live
from monitord.status.metrics import MetricsCollector, MetricsPage
from monitord.status.own_metrics import Own
from monitord.status.pages import Pages
from monitord.status.past import Past
from monitord.status.reads import Reads
from monitord.status.recent import Recent
from monitord.status.security import Access, AccessPolicy
from monitord.status.snapshot import Snapshots
from monitord.status.tally import Tally

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
