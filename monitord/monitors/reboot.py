"""Monitor type `reboot`: whether an upgrade requires a reboot of this host.

    type = "reboot"

Packages create /run/reboot-required, and add their name to /run/reboot-required.pkgs; on Debian these are
unattended-upgrades and reboot-notifier. Without conditions, a check warns when the file is older than `grace`, so that
an upgrade that is followed by a reboot causes no alert.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from monitord.clock import time_text
from monitord.conditions import LATENCY, FieldType, Vocabulary
from monitord.config import Table
from monitord.health import HealthPolicy
from monitord.model import FieldValue, Observation, Reason
from monitord.monitors.base import Monitor, MonitorSettings, Stopwatch, Tools
from monitord.monitors.files import read_file
from monitord.text import first_of, printable

FLAG = Path("/run/reboot-required")
DEFAULT_GRACE_S = 3600.0
MAX_FILE_BYTES = 64 * 1024
MAX_PACKAGES = 100
MAX_SHOWN_PACKAGES = 5
MAX_NAME_CHARACTERS = 100

VOCABULARY = Vocabulary(
    {
        "response_time": FieldType.DURATION,
        "reboot.required": FieldType.FLAG,
        "reboot.required_for": FieldType.DURATION,
        "reboot.packages": FieldType.TEXTS,
    },
    {"response_time": LATENCY},
)


@dataclass(frozen=True, slots=True)
class RebootOptions:
    grace_s: float = DEFAULT_GRACE_S


class RebootMonitor(Monitor[RebootOptions]):
    type_name: ClassVar[str] = "reboot"
    uses_network = False
    default_policy: ClassVar[HealthPolicy] = HealthPolicy(degrade_after=1)
    vocabulary: ClassVar[Vocabulary] = VOCABULARY

    def __init__(self, settings: MonitorSettings, tools: Tools, flag: Path = FLAG) -> None:
        super().__init__(settings, tools)
        self._flag = flag

    @classmethod
    def read_options(cls, table: Table) -> RebootOptions:
        return RebootOptions(table.duration("grace", default=DEFAULT_GRACE_S))

    async def check(self) -> Observation:
        watch = Stopwatch(self.tools.clock)
        now = self.tools.clock.now()
        # /run is a tmpfs: reading does not block.
        try:
            required_at = min(datetime.fromtimestamp(self._flag.stat().st_mtime, now.tzinfo), now)
        except FileNotFoundError:
            required_at = None
        except OSError as error:
            result = f"{self._flag} cannot be read: {error.strerror}"
            return watch.observation(Reason.PROBER_FORBIDDEN, result)
        fields: dict[str, FieldValue] = {"reboot.required": required_at is not None}
        if required_at is None:
            reason, result = Reason.OK, "no reboot is required"
        else:
            try:
                text = read_file(f"{self._flag}.pkgs", MAX_FILE_BYTES).decode(errors="replace")
            except OSError:
                text = ""
            names = (printable(line.strip())[:MAX_NAME_CHARACTERS] for line in text.splitlines())
            packages = tuple(dict.fromkeys(name for name in names if name))[:MAX_PACKAGES]
            age_s = (now - required_at).total_seconds()
            fields |= {"reboot.required_for": age_s, "reboot.packages": packages}
            by = f" by {first_of(packages, MAX_SHOWN_PACKAGES)}" if packages else ""
            result = f"a reboot is required{by}, since {time_text(required_at)}"
            reason = Reason.REBOOT_REQUIRED if age_s >= self.options.grace_s else Reason.OK
        if self.settings.degraded_when and reason is Reason.REBOOT_REQUIRED:
            reason = Reason.OK
        fields["response_time"] = watch.elapsed_s
        return watch.observation(reason, result, fields)
