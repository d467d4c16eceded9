"""From a stored result back to an observation that the daemon judges again. Pure.

Of each result, the history stores verdict, reason, response time and phases, but no other fields. So:

| the conditions of the other configuration              | the result is judged by                                |
|---------------------------------------------------------|--------------------------------------------------------|
| are the same                                            | its stored verdict                                     |
| differ only in conditions on stored fields              | those, and the outcome of the unchanged conditions     |
|                                                         | that follows from the stored verdict                   |
| differ in others, or end a default condition or         | its stored verdict; the conditions are reported        |
|   `invert`                                              |                                                        |

If a condition on stored fields explains a stored failure, the unchanged conditions count as met. A failure that
was inconclusive because this host was isolated is a failure again: the replay decides whether the host was isolated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitord.conditions import (
    Condition,
    ConditionResult,
    FieldType,
    Lookup,
    Reference,
    Vocabulary,
    parse_condition,
)
from monitord.history.encoding import PHASES
from monitord.history.recorded import RecordedResult
from monitord.model import FieldValue, Observation, Reason, Verdict
from monitord.monitors import MonitorSettings
from monitord.monitors.base import lookup_in

STORED_FIELDS = frozenset({"response_time", *(f"phase.{name}" for name in PHASES)})
"""The fields that the history stores of every result with a response."""

_BY_CONDITIONS = frozenset({Reason.CONDITION_FAILED, Reason.CONDITION_UNRESOLVED})

_WARNED = "stored_warning"
_STORED_WARNING = parse_condition(f"{_WARNED} == true", Vocabulary({_WARNED: FieldType.FLAG}))
"""Holds if a condition in `degraded_when` held in the stored result."""


class StoredCondition(Condition):
    """A condition on fields that are not stored. Its outcome is a field with its text as the name."""

    __slots__ = ()

    def evaluate(
        self, lookup: Lookup, shown: Callable[[object], object] = lambda value: value
    ) -> ConditionResult:
        del shown
        holds = lookup(Reference(self.text)) is True
        return ConditionResult(holds, unresolved=False, text=f"{self.text} (as stored)")


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Judges the results of one monitor again. `settings`: the settings by which the pipeline judges them.

    `current`: the settings with which the results were judged, if its conditions are to be replaced; None: the stored
    verdicts are kept. `timeout_s`: a response that took longer is a timeout; None: the timeout is not shorter.
    """

    settings: MonitorSettings
    current: MonitorSettings | None = None
    timeout_s: float | None = None

    def settings_for(self, observation: Observation) -> MonitorSettings:
        """Return the settings for an observation. A condition for each passed result would take a tenth of the time."""
        if _WARNED not in observation.fields:
            return self.settings
        return replace(self.settings, degraded_when=(*self.settings.degraded_when, _STORED_WARNING))

    def observation(self, result: RecordedResult, *, uses_network: bool) -> Observation:
        """Return the observation of a stored result. `uses_network`: whether the monitor depends on the network."""
        detail, fields = result.detail or "", dict[str, FieldValue]()
        reason, is_usable = result.reason, True
        if reason is Reason.PROBER_ISOLATED and uses_network:
            reason = Reason.HOST_UNREACHABLE
        elif result.verdict is Verdict.INCONCLUSIVE and not reason.is_inconclusive:
            reason = Reason.MONITOR_BUG  # another version knows the reason
        elif self.timeout_s is not None and result.has_response and result.duration_s > self.timeout_s:
            reason = Reason.TIMEOUT_RESPONSE
        elif self.current is None:
            is_usable = False  # no other condition replaces a failed default condition
            if result.verdict is Verdict.WARN and reason in _BY_CONDITIONS:
                reason, fields = Reason.OK, {_WARNED: True}
        elif result.has_response:
            fields = {"response_time": result.duration_s}
            fields |= {f"phase.{name}": spent_s for name, spent_s in result.phases_s.items()}
            if reason in _BY_CONDITIONS:
                reason, is_usable, implied = self._cause(
                    self.current, result.verdict, lookup_in(fields, None)
                )
                fields |= implied
            else:
                fields |= {condition.text: True for condition in _unstored(self.current.up_when)}
            detail = f"response after {result.duration_s:.3f} s"
        return Observation(
            result.at, result.duration_s, reason, detail, fields, is_usable=is_usable, outcome=detail
        )

    @staticmethod
    def _cause(
        current: MonitorSettings, verdict: Verdict, lookup: Lookup
    ) -> tuple[Reason, bool, dict[str, FieldValue]]:
        """Return the reason without conditions, whether the response is usable, and the outcome of conditions.

        `verdict`: of a result that a condition has decided.
        """
        up_when, degraded_when = _unstored(current.up_when), _unstored(current.degraded_when)
        if verdict is Verdict.WARN:
            is_explained = any(
                condition.evaluate(lookup).holds for condition in _stored(current.degraded_when)
            )
            implied: dict[str, FieldValue] = {condition.text: True for condition in up_when}
            implied |= {condition.text: not is_explained for condition in degraded_when}
            if not is_explained and not degraded_when:
                implied[_WARNED] = True
            return Reason.OK, True, implied
        if not current.up_when:
            return Reason.CONDITION_FAILED, True, {}  # the default condition of the type
        is_explained = not all(condition.evaluate(lookup).holds for condition in _stored(current.up_when))
        if not is_explained and not up_when:
            return (
                Reason.CONDITION_FAILED,
                False,
                {},
            )  # judged with the conditions of an earlier configuration
        return Reason.OK, True, {condition.text: is_explained for condition in up_when}


def reconstruction_of(
    current: MonitorSettings | None, other: MonitorSettings
) -> tuple[Reconstruction, tuple[str, ...]]:
    """Return the reconstruction for `other` of results that were judged with `current`, and its limits.

    The limits are the texts of conditions, or keys of the configuration; empty if everything can be replayed.
    """
    unchanged = Reconstruction(
        replace(other, up_when=(), degraded_when=(), invert=False),
        timeout_s=other.timeout_s if current is not None and other.timeout_s < current.timeout_s else None,
    )
    if current is None or _judging(current) == _judging(other):
        return unchanged, ()
    obstacles = dict.fromkeys(
        condition.text
        for before, after in (
            (current.up_when, other.up_when),
            (current.degraded_when, other.degraded_when),
        )
        for condition in _unstored((*before, *after))
        if (condition in before) is not (condition in after)
    )
    if current.up_when and not other.up_when:
        obstacles["up_when"] = None  # the default condition applies again
    if current.invert:
        obstacles["invert"] = None  # the reason without it is not stored
    if obstacles:
        return unchanged, tuple(obstacles)
    up_when, degraded_when = (
        tuple(
            condition
            if _is_stored(condition)
            else StoredCondition(condition.text, condition.vocabulary, condition.tree, condition.needs)
            for condition in conditions
        )
        for conditions in (other.up_when, other.degraded_when)
    )
    settings = replace(other, up_when=up_when, degraded_when=degraded_when)
    return Reconstruction(settings, current, unchanged.timeout_s), ()


def _judging(settings: MonitorSettings) -> tuple[object, ...]:
    return settings.up_when, settings.degraded_when, settings.invert


def _is_stored(condition: Condition) -> bool:
    return condition.needs <= STORED_FIELDS


def _stored(conditions: Sequence[Condition]) -> list[Condition]:
    return [condition for condition in conditions if _is_stored(condition)]


def _unstored(conditions: Sequence[Condition]) -> list[Condition]:
    return [condition for condition in conditions if not _is_stored(condition)]
