"""What an observation means: from facts and conditions to a verdict. Pure.

| the observation                                  | verdict                                              |
|--------------------------------------------------|------------------------------------------------------|
| its reason says that we are at fault             | unsure                                               |
| not well, while we ourselves stood still         | unsure, for that reason                              |
| no usable answer                                 | fail                                                 |
| a condition in `up_when` does not hold           | fail: `condition_failed`, or `condition_unresolved`  |
| without `up_when`: the type's own default says so| fail: `condition_failed`                             |
| a condition in `degraded_when` holds             | warn: `condition_failed`                             |
| the type itself warns                            | warn                                                 |
| otherwise                                        | pass                                                 |
"""

from collections.abc import Sequence
from dataclasses import replace

from monitord.conditions import Condition, Lookup, Outcome, Reference
from monitord.model import Observation, Reason, Result, Verdict
from monitord.monitors import MonitorSettings


def judge(observation: Observation, settings: MonitorSettings, fault: Reason | None) -> Result:
    """`fault`: what was wrong with the prober itself during the check, if anything."""
    reason = observation.reason
    if reason.is_ours:
        return Result(replace(observation, evidence=None), Verdict.UNSURE)
    if reason is Reason.CONDITION_FAILED and settings.up_when:
        observation = replace(observation, reason=Reason.OK)
    result = _judge(observation, settings)
    if result.verdict is not Verdict.PASS and fault is not None:
        return replace(result, observation=replace(result.observation, reason=fault), verdict=Verdict.UNSURE)
    return result


def _judge(observation: Observation, settings: MonitorSettings) -> Result:
    if observation.reason is not Reason.OK and not observation.reason.is_warning:
        return Result(replace(observation, evidence=None), Verdict.FAIL)
    lookup = _lookup(observation)
    wanted = _evaluate(settings.up_when, lookup)
    unwanted = _evaluate(settings.degraded_when, lookup)
    seen = tuple(outcome.text for outcome in (*wanted, *unwanted))
    observation = replace(observation, evidence=None)
    missed = [outcome for outcome in wanted if not outcome.holds]
    if missed:
        unresolved = all(outcome.unresolved for outcome in missed)
        reason = Reason.CONDITION_UNRESOLVED if unresolved else Reason.CONDITION_FAILED
        return Result(_told(observation, reason, "not met", missed), Verdict.FAIL, seen)
    met = [outcome for outcome in unwanted if outcome.holds]
    if met:
        return Result(_told(observation, Reason.CONDITION_FAILED, "degraded", met), Verdict.WARN, seen)
    return Result(observation, Verdict.WARN if observation.reason.is_warning else Verdict.PASS, seen)


def _evaluate(conditions: Sequence[Condition], lookup: Lookup) -> list[Outcome]:
    return [condition.evaluate(lookup) for condition in conditions]


def _lookup(observation: Observation) -> Lookup:
    facts, evidence = observation.facts, observation.evidence

    def lookup(reference: Reference) -> object:
        if reference.argument is None and reference.name in facts:
            return facts[reference.name]
        return None if evidence is None else evidence(reference.name, reference.argument)

    return lookup


def _told(observation: Observation, reason: Reason, what: str, outcomes: Sequence[Outcome]) -> Observation:
    """The line for people says what decided."""
    why = ", ".join(outcome.text for outcome in outcomes)
    return replace(observation, reason=reason, detail=f"{observation.detail}; {what}: {why}")
