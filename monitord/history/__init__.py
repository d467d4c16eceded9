"""What was: results, spans of health, incidents and the state that survives a restart, in SQLite behind one thread.

    history = History(path, settings, clock)
    saved = history.open()                   # states, own, open incidents: as they were when the last daemon ended
    history.start()
    history.add_result(name, result, state) # plain calls that never wait and never raise
    await history.uptime(name, start, end)  # in a thread that only reads
    await history.close(5.0)

Storage can never delay or fail a check: what it does not take is dropped, the oldest first, counted and said once.
"""

from monitord.history.history import History
from monitord.history.saved_state import SavedState
from monitord.history.settings import HistorySettings, read_history
from monitord.history.summary import RELATIVE_ERROR, Histogram
from monitord.history.values import Bucket, Day, HistoryStats, StoredResult, Uptime

__all__ = [
    "RELATIVE_ERROR",
    "Bucket",
    "Day",
    "Histogram",
    "History",
    "HistorySettings",
    "HistoryStats",
    "SavedState",
    "StoredResult",
    "Uptime",
    "read_history",
]
