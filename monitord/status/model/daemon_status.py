"""The status of the daemon itself: `GET /status`, and the page of the daemon."""

import os
import resource
from math import inf

from monitord import __version__
from monitord.alerts import Alerts
from monitord.dispatch import Dispatcher, StallDetector
from monitord.history import History
from monitord.model import WORST_FIRST, Json, State
from monitord.sources import Sources
from monitord.status.access.operations import DaemonOperations
from monitord.status.access.responses import cacheable_response, encode
from monitord.status.model.cluster import connection_json
from monitord.status.model.read_model import REFRESH_EVERY_S, ReadModel
from monitord.status.model.representations import notifiers_of, reload_of, sources_of, text_of
from monitord.web import Response


class DaemonStatus:
    """Reads the parts of the daemon; changes nothing."""

    def __init__(
        self,
        model: ReadModel,
        dispatcher: Dispatcher,
        stall_detector: StallDetector,
        history: History,
        alerts: Alerts,
        control: DaemonOperations,
        sources: Sources,
    ) -> None:
        self._model = model
        self._dispatcher = dispatcher
        self._stall_detector = stall_detector
        self._history = history
        self._alerts = alerts
        self._control = control
        self._sources = sources
        self._started_s = model.clock.monotonic_s()
        self.started_at = model.clock.now()
        self._response = Response(body=b"")
        self._rendered_at_s = -inf

    def response(self) -> Response:
        """Rendered again when it is older than `REFRESH_EVERY_S` or than the read model."""
        now_s = self._model.clock.monotonic_s()
        if now_s - self._rendered_at_s >= REFRESH_EVERY_S or self._rendered_at_s < self._model.refreshed_at_s:
            self._response = cacheable_response(encode(self.current()))
            self._rendered_at_s = now_s
        return self._response

    def current(self) -> Json:
        dispatcher, stall_detector, lateness = (
            self._dispatcher,
            self._stall_detector,
            self._dispatcher.lateness,
        )
        counts, stats = dispatcher.state_counts(), self._history.stats()
        return {
            "state": self._control.state,
            "worst_state": next((state for state in WORST_FIRST if counts[state]), State.UP).value,
            "version": __version__,
            "pid": os.getpid(),
            "started_at": text_of(self.started_at),
            "uptime_s": round(self._model.clock.monotonic_s() - self._started_s, 3),
            "monitors": {"total": counts.total(), **{state.value: counts[state] for state in State}},
            "checks": {
                "total": dispatcher.check_count,
                "in_flight": dispatcher.in_flight,
                "queued_for_slot": dispatcher.queued,
                "skipped": dispatcher.skipped_count,
                "abandoned": dispatcher.abandoned_count,
                "lateness_s": {
                    "p50": round(lateness.quantile_s(0.5), 6),
                    "p99": round(lateness.quantile_s(0.99), 6),
                    "max": round(lateness.worst_s, 6),
                },
            },
            "event_loop": {
                "stalls": stall_detector.stall_count,
                "max_lag_s": round(stall_detector.max_lag_s, 3),
            },
            "history": {
                "queued": stats.queued,
                "written": stats.written,
                "dropped": stats.dropped,
                "error": stats.error,
                "failing_since": text_of(stats.failing_since),
                "last_commit_at": text_of(stats.last_commit_at),
                "max_commit_s": round(stats.max_commit_s, 6),
                "size_bytes": stats.size_bytes,
                "resets": stats.resets,
                "reset_at": text_of(stats.reset_at),
                "reset_reason": stats.reset_reason,
            },
            "notifiers": notifiers_of(self._alerts),
            "cluster": None if (view := self._model.cluster()) is None else connection_json(view),
            "sources": sources_of(self._sources.status()),
            "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "reload": reload_of(self._control.last_reload),
        }

    def failing_notifiers(self) -> tuple[str, ...]:
        """The names of the notifiers that cannot deliver."""
        return tuple(worker.name for worker in self._alerts.failing_workers())
