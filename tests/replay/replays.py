"""Stored results that a test writes, and their replays against two configurations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from monitord.history.recorded import WINDOW_MS, RecordedResult
from monitord.model import Reason, Verdict
from monitord.replay import (
    AlertChange,
    IncidentChange,
    Outcome,
    ReplayPlan,
    compare_alerts,
    compare_incidents,
    plan_of,
    replay,
)
from monitord.settings import Settings, read_settings
from tests.fakes import FakeClock

START = FakeClock.START
LENGTH_S = 1200
EVERY_S = 10

NOTIFIER = '[notifiers.ops]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\ngroup_wait = "0s"\n'


def tcp(name: str, *keys: str) -> str:
    """Return the section of a monitor that is checked every EVERY_S."""
    lines = [f"[monitors.{name}]", 'type = "tcp"', 'address = "127.0.0.1:1"', f'check_every = "{EVERY_S}s"']
    return "\n".join([*lines, 'retry_every = "10s"', *keys, ""])


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def stored(
    monitor: str,
    seconds: float,
    verdict: Verdict = Verdict.PASS,
    reason: Reason = Reason.OK,
    *,
    duration_s: float = 0.05,
) -> RecordedResult:
    has_response = verdict in {Verdict.PASS, Verdict.WARN} or reason is Reason.CONDITION_FAILED
    detail = None if verdict is Verdict.PASS else reason.value
    return RecordedResult(monitor, at(seconds), duration_s, verdict, reason, has_response, {}, detail)


def series(
    monitor: str,
    *failures: tuple[int, int],
    offset_s: float = 0.0,
    reason: Reason = Reason.REFUSED,
    duration_s: float = 0.05,
    slow: tuple[int, int] = (0, 0),
    slow_s: float = 0.0,
) -> list[RecordedResult]:
    """Return a result every EVERY_S. The checks from the first second of each failure to before the last second fail.

    The responses in `slow` take `slow_s`.
    """
    results = []
    for seconds in range(0, LENGTH_S, EVERY_S):
        is_failing = any(first <= seconds < last for first, last in failures)
        results.append(
            stored(
                monitor,
                seconds + offset_s,
                Verdict.FAIL if is_failing else Verdict.PASS,
                reason if is_failing else Reason.OK,
                duration_s=slow_s if slow[0] <= seconds < slow[1] else duration_s,
            )
        )
    return results


@dataclass(frozen=True)
class Replays:
    """The outcomes with two configurations."""

    plan: ReplayPlan
    current: Outcome
    new: Outcome

    @property
    def alert_changes(self) -> list[AlertChange]:
        return compare_alerts(self.current, self.new, self.plan.former_names)

    @property
    def incident_changes(self) -> list[IncidentChange]:
        return compare_incidents(self.current, self.new, self.plan.former_names)


def replays(tmp_path: Path, current: str, new: str, *recorded: Sequence[RecordedResult]) -> Replays:
    """Replay the results against both configurations."""
    before, after = _settings(tmp_path / "current.toml", current), _settings(tmp_path / "new.toml", new)
    results = sorted(
        (result for of_monitor in recorded for result in of_monitor), key=lambda result: result.at
    )
    names = {result.monitor for result in results}
    plans = plan_of(before, before, names), plan_of(before, after, names)
    outcomes = [replay(plan, _windows(results), START, at(LENGTH_S)) for plan in plans]
    return Replays(plans[1], *outcomes)


def notified(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return notifier, kind and monitor of each notification."""
    return [(sent.notifier, sent.kind.value, sent.monitor) for sent in outcome.notifications]


def _settings(path: Path, text: str) -> Settings:
    path.write_text(text)
    return read_settings(path)


def _windows(results: Sequence[RecordedResult]) -> Iterator[list[RecordedResult]]:
    step = timedelta(milliseconds=WINDOW_MS)
    for number in range(LENGTH_S * 1000 // WINDOW_MS):
        start = START + number * step
        yield [result for result in results if start <= result.at < start + step]
