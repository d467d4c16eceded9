"""What an observation means: the table of verdicts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitord.conditions import FactFunction, FactType, Vocabulary, parse_condition
from monitord.dispatch.judging import judge
from monitord.model import Fact, Observation, Reason, Verdict
from monitord.monitors import MonitorSettings
from tests.fakes import monitor_settings

VOCABULARY = Vocabulary(
    {"status": FactType.NUMBER, "response_time": FactType.DURATION, "header": FactFunction(FactType.TEXT)}
)


def observation(reason: Reason, **facts: Fact) -> Observation:
    def evidence(name: str, argument: object) -> object:
        return "nginx" if (name, argument) == ("header", "Server") else None

    return Observation(datetime(2026, 1, 1, tzinfo=UTC), 0.1, reason, "looked", facts, evidence=evidence)


def settings(up_when: Sequence[str] = (), degraded_when: Sequence[str] = ()) -> MonitorSettings:
    return replace(
        monitor_settings(),
        up_when=tuple(parse_condition(text, VOCABULARY) for text in up_when),
        degraded_when=tuple(parse_condition(text, VOCABULARY) for text in degraded_when),
    )


UNSURE = {
    Reason.PLUGIN_UNKNOWN,
    Reason.MEMBERS_UNKNOWN,
    Reason.PROBER_LATE,
    Reason.PROBER_SUSPENDED,
    Reason.PROBER_EXHAUSTED,
    Reason.PROBER_FORBIDDEN,
    Reason.PROBER_BLIND,
    Reason.MONITOR_BUG,
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_verdict(reason: Reason) -> None:
    expected = {
        Reason.OK: Verdict.PASS,
        Reason.PLUGIN_WARNING: Verdict.WARN,
        Reason.MEMBER_DEGRADED: Verdict.WARN,
    }
    otherwise = Verdict.UNSURE if reason in UNSURE else Verdict.FAIL
    result = judge(observation(reason), settings(), None)
    assert result.verdict is expected.get(reason, otherwise)
    assert result.observation.reason is reason
    assert result.observation.evidence is None


@pytest.mark.parametrize(
    ("reason", "verdict", "told"),
    [
        pytest.param(Reason.OK, Verdict.PASS, Reason.OK, id="an answer that is well stays so"),
        pytest.param(Reason.REFUSED, Verdict.UNSURE, Reason.PROBER_LATE, id="failure"),
        pytest.param(Reason.PLUGIN_WARNING, Verdict.UNSURE, Reason.PROBER_LATE, id="warning"),
        pytest.param(Reason.PLUGIN_UNKNOWN, Verdict.UNSURE, Reason.PLUGIN_UNKNOWN, id="already unsure"),
    ],
)
def test_a_fault_of_the_prober_takes_the_sureness_of_what_is_not_well(
    reason: Reason, verdict: Verdict, told: Reason
) -> None:
    result = judge(observation(reason), settings(), Reason.PROBER_LATE)
    assert (result.verdict, result.observation.reason) == (verdict, told)


@pytest.mark.parametrize(
    ("up_when", "degraded_when", "verdict", "reason", "says"),
    [
        pytest.param(["status == 200"], [], Verdict.PASS, Reason.OK, "", id="it holds"),
        pytest.param(
            ["status < 300", "status == 204"], [], Verdict.FAIL, Reason.CONDITION_FAILED,
            "; not met: status == 204 (200)", id="one of two does not",
        ),
        pytest.param(
            ["header('X') == 'y'"], [], Verdict.FAIL, Reason.CONDITION_UNRESOLVED,
            "; not met: header('X')", id="unresolved",
        ),
        pytest.param(["header('Server') == 'nginx'"], [], Verdict.PASS, Reason.OK, "", id="by evidence"),
        pytest.param(
            [], ["response_time > 500ms"], Verdict.WARN, Reason.CONDITION_FAILED,
            "; degraded: response_time > 500ms (700ms)", id="degraded",
        ),
        pytest.param([], ["response_time > 1s"], Verdict.PASS, Reason.OK, "", id="not degraded"),
        pytest.param([], ["header('X') == 'y'"], Verdict.PASS, Reason.OK, "", id="unresolved does not degrade"),
        pytest.param(
            ["status == 204"], ["response_time > 500ms"], Verdict.FAIL, Reason.CONDITION_FAILED, "; not met: status",
            id="a failure outweighs a warning",
        ),
    ],
)  # fmt: skip
def test_conditions_decide_on_an_answer(
    up_when: list[str], degraded_when: list[str], verdict: Verdict, reason: Reason, says: str
) -> None:
    seen = observation(Reason.OK, status=200, response_time=0.7)
    result = judge(seen, settings(up_when, degraded_when), None)
    assert (result.verdict, result.observation.reason) == (verdict, reason)
    assert result.observation.detail.startswith(f"looked{says}")
    assert len(result.conditions) == len(up_when) + len(degraded_when)


def test_up_when_takes_the_place_of_the_types_own_default() -> None:
    seen = observation(Reason.CONDITION_FAILED, status=503)
    assert judge(seen, settings(), None).verdict is Verdict.FAIL
    assert judge(seen, settings(["status == 503"]), None).verdict is Verdict.PASS
    assert judge(seen, settings([], ["status == 503"]), None).verdict is Verdict.FAIL


def test_without_an_answer_conditions_are_not_asked() -> None:
    result = judge(observation(Reason.REFUSED), settings(["status == 200"]), None)
    assert (result.verdict, result.observation.reason, result.conditions) == (
        Verdict.FAIL,
        Reason.REFUSED,
        (),
    )
