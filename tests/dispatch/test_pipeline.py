"""What an observation means: the table of verdicts."""

from datetime import UTC, datetime

import pytest

from monitord.dispatch.pipeline import judge
from monitord.model import Observation, Reason, Verdict


def observation(reason: Reason) -> Observation:
    return Observation(datetime(2026, 1, 1, tzinfo=UTC), 0.1, reason, "looked")


UNSURE = {
    Reason.PLUGIN_UNKNOWN,
    Reason.PROBER_LATE,
    Reason.PROBER_SUSPENDED,
    Reason.PROBER_EXHAUSTED,
    Reason.PROBER_BLIND,
    Reason.MONITOR_BUG,
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_verdict(reason: Reason) -> None:
    expected = {Reason.OK: Verdict.PASS, Reason.PLUGIN_WARNING: Verdict.WARN}
    otherwise = Verdict.UNSURE if reason in UNSURE else Verdict.FAIL
    result = judge(observation(reason), None)
    assert result.verdict is expected.get(reason, otherwise)
    assert result.observation.reason is reason


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
    result = judge(observation(reason), Reason.PROBER_LATE)
    assert (result.verdict, result.observation.reason) == (verdict, told)
