"""The dispatcher, which schedules the checks, and the steps of a check.

Reading order: `schedule`, `slots`, `state`, `cycle`, `pipeline`, `check_timers`, `dispatcher`.
"""

from monitord.dispatch.check_log import CheckLog, LoggedChecks
from monitord.dispatch.clock_steps import ClockStep
from monitord.dispatch.cycle import CheckCycle
from monitord.dispatch.dispatcher import Dispatcher
from monitord.dispatch.entry import MonitorEntry
from monitord.dispatch.pipeline import Pipeline
from monitord.dispatch.placement import LocalPlacement, Placement
from monitord.dispatch.plan import ReloadPlan
from monitord.dispatch.registry import Registry
from monitord.dispatch.saved import result_from_record, result_to_record
from monitord.dispatch.silences import Matcher, Silence, Silences, silence_from_record, silence_to_record
from monitord.dispatch.sink import Sink
from monitord.dispatch.slots import Slots
from monitord.dispatch.stalls import StallDetector
from monitord.dispatch.state import ClusterState, MonitorState, OpenMaintenance, Pause

__all__ = [
    "CheckCycle",
    "CheckLog",
    "ClockStep",
    "ClusterState",
    "Dispatcher",
    "LocalPlacement",
    "LoggedChecks",
    "Matcher",
    "MonitorEntry",
    "MonitorState",
    "OpenMaintenance",
    "Pause",
    "Pipeline",
    "Placement",
    "Registry",
    "ReloadPlan",
    "Silence",
    "Silences",
    "Sink",
    "Slots",
    "StallDetector",
    "result_from_record",
    "result_to_record",
    "silence_from_record",
    "silence_to_record",
]
