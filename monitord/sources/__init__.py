"""Sources of monitors that are not configured in a file: they find targets, each of which gets a monitor.

Reading order: `base`, `sources`, `units`.
"""

from monitord.sources.base import (
    Feed,
    MonitorReader,
    MonitorSource,
    SourceSettings,
    SourcesSettings,
    SourceStatus,
    SourceTools,
    Targets,
)
from monitord.sources.recoveries import UnitRecoveries
from monitord.sources.sources import Sources

__all__ = [
    "Feed",
    "MonitorReader",
    "MonitorSource",
    "SourceSettings",
    "SourceStatus",
    "SourceTools",
    "Sources",
    "SourcesSettings",
    "Targets",
    "UnitRecoveries",
]
