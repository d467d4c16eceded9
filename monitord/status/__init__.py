"""What people and machines see of the running daemon: an application on `monitord.web`.

`snapshot` reads, `api` answers, `control` is what may be asked of the daemon and by whom.
"""

from monitord.status.api import build_application
from monitord.status.control import Control, ReloadOutcome
from monitord.status.snapshot import Snapshots

__all__ = ["Control", "ReloadOutcome", "Snapshots", "build_application"]
