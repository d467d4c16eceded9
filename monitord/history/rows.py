"""From a result to a row of numbers: done where the result is told, so that nothing else of it is held."""

from monitord.history.batch import ResultRow
from monitord.history.codes import HEALTH_CODES, PHASES, VERDICT_CODES, pack_what, to_ms
from monitord.model import Observation, Reason, Result, State, Verdict

MOST_TEXT = 1000
"""Characters of a detail or comment; more is cut off."""

_ANSWERED = {Verdict.PASS, Verdict.WARN}
_JUDGED = {Reason.CONDITION_FAILED, Reason.CONDITION_UNRESOLVED}
_LONGEST_S = 366 * 86400.0
_PHASE_FIELDS = tuple(f"phase.{name}" for name in PHASES)


def row_of(monitor: str, result: Result, state: State) -> ResultRow:
    observation, verdict = result.observation, result.verdict
    is_answered = verdict in _ANSWERED or (verdict is Verdict.FAIL and observation.reason in _JUDGED)
    phases_us = _phases_us(observation) if is_answered else None
    response_s = observation.fields.get("response_time") if is_answered else None
    took_s = response_s if isinstance(response_s, (int, float)) else observation.duration_s
    return ResultRow(
        monitor,
        to_ms(observation.started_at),
        _microseconds(took_s),
        pack_what(VERDICT_CODES[verdict], HEALTH_CODES[state], answered=is_answered),
        observation.reason.value,
        phases_us,
        None if verdict is Verdict.PASS else clean(observation.detail),
    )


def _phases_us(observation: Observation) -> list[int] | None:
    fields = observation.fields
    phases = [fields.get(name) for name in _PHASE_FIELDS]
    if not any(phases):
        return None
    return [_microseconds(spent) if isinstance(spent, (int, float)) else 0 for spent in phases]


def _microseconds(seconds: float) -> int:
    # Not every type's numbers are ours to trust: "not a number" is no reason to lose a row.
    return round(seconds * 1e6) if 0 < seconds < _LONGEST_S else 0


def clean(text: str | None) -> str | None:
    """What SQLite takes: halves of surrogate pairs, which servers can send, are no text."""
    if text is None:
        return None
    short = text[:MOST_TEXT]
    return short if short.isascii() else short.encode("utf-8", "replace").decode()
