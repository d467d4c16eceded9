"""Judging: from the fields of an observation and the conditions to a verdict. Pure.

| the observation                                  | verdict                                              |
|--------------------------------------------------|------------------------------------------------------|
| its reason is inconclusive                       | inconclusive                                         |
| not passed, while monitord was stalled or the    | inconclusive, with that reason                       |
|   machine was suspended                          |                                                      |
| no usable response                               | fail                                                 |
| a condition in `up_when` does not hold           | fail: `condition_failed`, or `condition_unresolved`  |
| without `up_when`: the type's default condition  | fail: `condition_failed`                             |
|   does not hold                                  |                                                      |
| a condition in `degraded_when` holds             | warn: `condition_failed`                             |
| the type itself warns                            | warn                                                 |
| otherwise                                        | pass                                                 |

`invert` reverses the verdict:

| without it                                       | with it                                              |
|--------------------------------------------------|------------------------------------------------------|
| inconclusive                                     | inconclusive, with the same reason                   |
| pass or warn                                     | fail: `condition_failed`                             |
| fail: `condition_unresolved`, `extract_failed`   | fail, with the same reason                           |
|   or `plugin_killed`, which give no information  |                                                      |
|   about the service                              |                                                      |
| fail otherwise                                   | pass                                                 |

Texts are masked, and the result of a check that has not passed has an excerpt of the response.
"""

from collections.abc import Sequence
from dataclasses import replace

from monitord.conditions import Condition, ConditionResult
from monitord.model import EXCERPT, Observation, Reason, Result, Verdict, VerdictRule
from monitord.monitors import Masking, MonitorSettings, lookup_of

_GIVES_NO_INFORMATION = frozenset({Reason.CONDITION_UNRESOLVED, Reason.EXTRACT_FAILED, Reason.PLUGIN_KILLED})
_NO_SECRETS = Masking()


def judge(
    observation: Observation,
    settings: MonitorSettings,
    probe_error: Reason | None,
    masking: Masking = _NO_SECRETS,
    condition_results: Sequence[ConditionResult] | None = None,
) -> Result:
    """Judge an observation.

    `probe_error`: the reason if this process was stalled, suspended or isolated during the check. `condition_results`:
    results of `conditions_of(settings)`, if they have been evaluated already.
    """
    result = _judge(observation, settings, masking, condition_results)
    if result.verdict in {Verdict.WARN, Verdict.FAIL} and probe_error is not None:
        observation = replace(result.observation, reason=probe_error)
        result = replace(
            result,
            observation=observation,
            verdict=Verdict.INCONCLUSIVE,
            decided_by=VerdictRule.REASON,
            deciding_indexes=(),
        )
    if settings.invert:
        result = _inverted(result)
    return Result(
        _masked(result, masking),
        result.verdict,
        result.conditions,
        result.holds,
        result.expected,
        result.decided_by,
        result.deciding_indexes,
    )


def conditions_of(settings: MonitorSettings) -> Sequence[Condition]:
    """Return the conditions in the order of their results."""
    return (*settings.up_when, *settings.degraded_when)


def _judge(
    observation: Observation,
    settings: MonitorSettings,
    masking: Masking,
    condition_results: Sequence[ConditionResult] | None,
) -> Result:
    if observation.reason.is_inconclusive:
        return Result(observation, Verdict.INCONCLUSIVE)
    if observation.reason is Reason.CONDITION_FAILED and settings.up_when and observation.is_usable:
        observation = replace(observation, reason=Reason.OK)
    if observation.reason is not Reason.OK and not observation.reason.is_warning:
        # `up_when` replaces the default condition only on a usable response, so not after an incomplete dialogue.
        is_by_type = observation.reason is Reason.CONDITION_FAILED and observation.is_usable
        return Result(
            observation, Verdict.FAIL, decided_by=VerdictRule.TYPE if is_by_type else VerdictRule.REASON
        )
    if not settings.up_when and not settings.degraded_when:
        return Result(observation, Verdict.WARN if observation.reason.is_warning else Verdict.PASS)
    if condition_results is None:
        lookup = lookup_of(observation)
        condition_results = [
            condition.evaluate(lookup, masking.mask_value) for condition in conditions_of(settings)
        ]
    up_when, degraded_when = (
        condition_results[: len(settings.up_when)],
        condition_results[len(settings.up_when) :],
    )
    # The text of a condition can contain a secret, as the compared value can.
    texts = tuple(masking.mask(outcome.text) for outcome in (*up_when, *degraded_when))
    holds = tuple(outcome.holds for outcome in condition_results)
    expected = (True,) * len(up_when) + (False,) * len(degraded_when)
    unmet = [index for index, outcome in enumerate(up_when) if not outcome.holds]
    if unmet:
        is_unresolved = all(up_when[index].unresolved for index in unmet)
        reason = Reason.CONDITION_UNRESOLVED if is_unresolved else Reason.CONDITION_FAILED
        noted = _with_conditions(observation, reason, "not met", [up_when[index] for index in unmet])
        return Result(noted, Verdict.FAIL, texts, holds, expected, VerdictRule.CONDITIONS, tuple(unmet))
    met = [index for index, outcome in enumerate(degraded_when) if outcome.holds]
    if met:
        noted = _with_conditions(
            observation, Reason.CONDITION_FAILED, "degraded", [degraded_when[index] for index in met]
        )
        return Result(
            noted,
            Verdict.WARN,
            texts,
            holds,
            expected,
            VerdictRule.CONDITIONS,
            tuple(len(up_when) + index for index in met),
        )
    return Result(
        observation, Verdict.WARN if observation.reason.is_warning else Verdict.PASS, texts, holds, expected
    )


def _inverted(result: Result) -> Result:
    observation = result.observation
    if result.verdict is Verdict.INCONCLUSIVE or observation.reason in _GIVES_NO_INFORMATION:
        return result
    if result.verdict is Verdict.FAIL:
        noted, verdict = _with_note(observation, Reason.OK, "as expected (invert)"), Verdict.PASS
    else:
        noted = _with_note(observation, Reason.CONDITION_FAILED, "passed, but is expected to fail (invert)")
        verdict = Verdict.FAIL
    return replace(
        result, observation=noted, verdict=verdict, decided_by=VerdictRule.INVERT, deciding_indexes=()
    )


def _masked(result: Result, masking: Masking) -> Observation:
    observation = result.observation
    excerpt = None
    if result.verdict is not Verdict.PASS and observation.response_data is not None:
        text = observation.response_data(EXCERPT, None)
        excerpt = masking.excerpt(text) if isinstance(text, str) else None
    return replace(
        observation,
        detail=masking.mask(observation.detail),
        subject=masking.mask(observation.subject),
        outcome=masking.mask(observation.outcome or observation.detail),
        note=masking.mask(observation.note),
        excerpt=excerpt,
        response_data=None,
    )


def _with_conditions(
    observation: Observation, reason: Reason, effect: str, condition_results: Sequence[ConditionResult]
) -> Observation:
    """Return the observation with the conditions that decided the verdict in its detail."""
    texts = ", ".join(outcome.text for outcome in condition_results)
    return _with_note(observation, reason, f"{effect}: {texts}")


def _with_note(observation: Observation, reason: Reason, note: str) -> Observation:
    return replace(
        observation,
        reason=reason,
        detail=f"{observation.detail}; {note}",
        outcome=observation.outcome or observation.detail,
        note=f"{observation.note}; {note}" if observation.note else note,
    )
