"""The history: results, spans of states, incidents and the saved state, in SQLite, written by one thread.

    history = History(path, settings, clock)
    saved = history.open()                  # the saved state of the last run
    history.start()
    history.add_result(name, result, state) # writes: plain calls that never wait and never raise
    await history.uptime(name, start, end)  # queries: in a thread with a read-only connection
    await history.close(5.0)

Storage cannot delay or fail a check: rows that cannot be written are dropped, oldest first, and counted.
"""

from monitord.history.history import History
from monitord.history.periods import IncidentTime, MaintenanceTime
from monitord.history.saved_state import SavedState
from monitord.history.settings import HistorySettings, read_history
from monitord.history.summary import Histogram
from monitord.history.values import Bucket, DaySummary, HistoryStats, StoredResult, Uptime, total_uptime

__all__ = [
    "Bucket",
    "DaySummary",
    "Histogram",
    "History",
    "HistorySettings",
    "HistoryStats",
    "IncidentTime",
    "MaintenanceTime",
    "SavedState",
    "StoredResult",
    "Uptime",
    "read_history",
    "total_uptime",
]
