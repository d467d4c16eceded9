"""What an observation means: from fields and conditions to a verdict. Pure.

| the observation                                  | verdict                                              |
|--------------------------------------------------|------------------------------------------------------|
| its reason says that we are at failure             | inconclusive                                               |
| not well, while we ourselves stood still         | inconclusive, for that reason                              |
| no usable answer                                 | fail                                                 |
| a condition in `up_when` does not hold           | fail: `condition_failed`, or `condition_unresolved`  |
| without `up_when`: the type's own default says so| fail: `condition_failed`                             |
| a condition in `degraded_when` holds             | warn: `condition_failed`                             |
| the type itself warns                            | warn                                                 |
| otherwise                                        | pass                                                 |

With `invert` that verdict is turned:

| without it                                       | with it                                              |
|--------------------------------------------------|------------------------------------------------------|
| inconclusive                                           | inconclusive, for the same reason                          |
| pass or warn: an answer                          | fail: `condition_failed`                             |
| fail: `condition_unresolved` or `plugin_killed`, | fail, for the same reason                            |
| which show nothing of what is watched            |                                                      |
| fail otherwise                                   | pass                                                 |

What is told is masked, and of what does not pass an excerpt is kept.
"""

from collections.abc import Sequence
from dataclasses import replace

from monitord.conditions import Condition, Outcome
from monitord.model import EXCERPT, Decider, Observation, Reason, Result, Verdict
from monitord.monitors import Masking, MonitorSettings, lookup_of

_SHOWS_NOTHING = frozenset({Reason.CONDITION_UNRESOLVED, Reason.PLUGIN_KILLED})
_NO_SECRETS = Masking()


def judge(
    observation: Observation,
    settings: MonitorSettings,
    failure: Reason | None,
    masking: Masking = _NO_SECRETS,
    outcomes: Sequence[Outcome] | None = None,
) -> Result:
    """`failure`: what was wrong with the prober itself during the check, if anything. `outcomes`: of the conditions, if
    they were evaluated before.
    """
    result = _judge(observation, settings, masking, outcomes)
    if result.verdict in {Verdict.WARN, Verdict.FAIL} and failure is not None:
        inconclusive = replace(result.observation, reason=failure)
        result = replace(
            result,
            observation=inconclusive,
            verdict=Verdict.INCONCLUSIVE,
            decided_by=Decider.REASON,
            deciding=(),
        )
    if settings.invert:
        result = _inverted(result)
    return Result(
        _fit_to_be_seen(result, masking),
        result.verdict,
        result.conditions,
        result.holds,
        result.expected,
        result.decided_by,
        result.deciding,
    )


def conditions_of(settings: MonitorSettings) -> Sequence[Condition]:
    """In the order of their outcomes."""
    return (*settings.up_when, *settings.degraded_when)


def _judge(
    observation: Observation, settings: MonitorSettings, masking: Masking, outcomes: Sequence[Outcome] | None
) -> Result:
    if observation.reason.is_probe_error:
        return Result(observation, Verdict.INCONCLUSIVE)
    if observation.reason is Reason.CONDITION_FAILED and settings.up_when and observation.is_usable:
        observation = replace(observation, reason=Reason.OK)
    if observation.reason is not Reason.OK and not observation.reason.is_warning:
        is_by_type = observation.reason is Reason.CONDITION_FAILED
        return Result(observation, Verdict.FAIL, decided_by=Decider.TYPE if is_by_type else Decider.REASON)
    if not settings.up_when and not settings.degraded_when:
        return Result(observation, Verdict.WARN if observation.reason.is_warning else Verdict.PASS)
    if outcomes is None:
        lookup = lookup_of(observation)
        outcomes = [condition.evaluate(lookup, masking.mask_value) for condition in conditions_of(settings)]
    wanted, unwanted = outcomes[: len(settings.up_when)], outcomes[len(settings.up_when) :]
    # The text of a condition may hold a secret as well as the value that it was compared with.
    seen = tuple(masking.mask(outcome.text) for outcome in (*wanted, *unwanted))
    holds = tuple(outcome.holds for outcome in outcomes)
    expected = (True,) * len(wanted) + (False,) * len(unwanted)
    missed = [index for index, outcome in enumerate(wanted) if not outcome.holds]
    if missed:
        unresolved = all(wanted[index].unresolved for index in missed)
        reason = Reason.CONDITION_UNRESOLVED if unresolved else Reason.CONDITION_FAILED
        noted = _told(observation, reason, "not met", [wanted[index] for index in missed])
        return Result(noted, Verdict.FAIL, seen, holds, expected, Decider.CONDITIONS, tuple(missed))
    met = [index for index, outcome in enumerate(unwanted) if outcome.holds]
    if met:
        noted = _told(observation, Reason.CONDITION_FAILED, "degraded", [unwanted[index] for index in met])
        return Result(
            noted,
            Verdict.WARN,
            seen,
            holds,
            expected,
            Decider.CONDITIONS,
            tuple(len(wanted) + index for index in met),
        )
    return Result(
        observation, Verdict.WARN if observation.reason.is_warning else Verdict.PASS, seen, holds, expected
    )


def _inverted(result: Result) -> Result:
    observation = result.observation
    if result.verdict is Verdict.INCONCLUSIVE or observation.reason in _SHOWS_NOTHING:
        return result
    if result.verdict is Verdict.FAIL:
        noted, verdict = _noted(observation, Reason.OK, "as expected (invert)"), Verdict.PASS
    else:
        noted = _noted(observation, Reason.CONDITION_FAILED, "is well, but was to fail (invert)")
        verdict = Verdict.FAIL
    return replace(result, observation=noted, verdict=verdict, decided_by=Decider.INVERT, deciding=())


def _fit_to_be_seen(result: Result, masking: Masking) -> Observation:
    observation = result.observation
    excerpt = None
    if result.verdict is not Verdict.PASS and observation.evidence is not None:
        text = observation.evidence(EXCERPT, None)
        excerpt = masking.excerpt(text) if isinstance(text, str) else None
    return replace(
        observation,
        detail=masking.mask(observation.detail),
        subject=masking.mask(observation.subject),
        outcome=masking.mask(observation.outcome or observation.detail),
        excerpt=excerpt,
        evidence=None,
    )


def _told(observation: Observation, reason: Reason, what: str, outcomes: Sequence[Outcome]) -> Observation:
    """The line for people says what decided."""
    why = ", ".join(outcome.text for outcome in outcomes)
    return _noted(observation, reason, f"{what}: {why}")


def _noted(observation: Observation, reason: Reason, note: str) -> Observation:
    outcome = observation.outcome or observation.detail
    return replace(
        observation,
        reason=reason,
        detail=f"{observation.detail}; {note}",
        outcome=f"{outcome}; {note}",
    )
