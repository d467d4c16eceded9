"""From a stored result to a verdict with other conditions."""

from pathlib import Path

import pytest

from monitord.dispatch.judging import judge
from monitord.history.recorded import RecordedResult
from monitord.model import Reason, Verdict
from monitord.monitors import MonitorSettings
from monitord.replay.reconstruction import reconstruction_of
from monitord.settings import read_settings
from tests.replay.replays import stored

PASS = stored("shop", 0)
SLOW = PASS._replace(duration_s=2.0)
WARN = stored("shop", 0, Verdict.WARN, Reason.CONDITION_FAILED)
NOT_MET = stored("shop", 0, Verdict.FAIL, Reason.CONDITION_FAILED)
UNRESOLVED = stored("shop", 0, Verdict.FAIL, Reason.CONDITION_UNRESOLVED)
REFUSED = stored("shop", 0, Verdict.FAIL, Reason.REFUSED)
STALLED = stored("shop", 0, Verdict.INCONCLUSIVE, Reason.PROBER_STALLED)

FAST = 'up_when = ["response_time < 1s"]'
OK_STATUS = 'up_when = ["status == 200"]'
BOTH = 'up_when = ["status == 200", "response_time < 1s"]'
SLOW_IS_DEGRADED = 'degraded_when = ["response_time > 1s"]'


def settings(tmp_path: Path, keys: str) -> MonitorSettings:
    config = tmp_path / "monitord.toml"
    config.write_text(f'[monitors.shop]\nurl = "https://127.0.0.1/"\n{keys}\n')
    return read_settings(config).monitors[0]


def verdict(
    current: MonitorSettings | None, new: MonitorSettings, result: RecordedResult
) -> tuple[Verdict, Reason]:
    reconstruction, _ = reconstruction_of(current, new)
    observation = reconstruction.observation(result, uses_network=True)
    judged = judge(observation, reconstruction.settings_for(observation), None)
    return judged.verdict, judged.observation.reason


@pytest.mark.parametrize("result", [PASS, SLOW, WARN, NOT_MET, UNRESOLVED, REFUSED, STALLED], ids=str)
@pytest.mark.parametrize("keys", ["", FAST, OK_STATUS, BOTH, SLOW_IS_DEGRADED, f"{OK_STATUS}\ninvert = true"])
def test_verdict_is_kept_with_equal_conditions(tmp_path: Path, keys: str, result: RecordedResult) -> None:
    same = settings(tmp_path, keys)
    assert verdict(same, same, result) == (result.verdict, result.reason)


@pytest.mark.parametrize(
    ("current", "new", "result", "expected"),
    [
        ("", FAST, PASS, (Verdict.PASS, Reason.OK)),
        ("", FAST, SLOW, (Verdict.FAIL, Reason.CONDITION_FAILED)),
        ("", FAST, NOT_MET, (Verdict.PASS, Reason.OK)),  # `up_when` replaces the default condition
        ("", FAST, REFUSED, (Verdict.FAIL, Reason.REFUSED)),
        ("", FAST, STALLED, (Verdict.INCONCLUSIVE, Reason.PROBER_STALLED)),
        ("", SLOW_IS_DEGRADED, SLOW, (Verdict.WARN, Reason.CONDITION_FAILED)),
        ("", SLOW_IS_DEGRADED, NOT_MET, (Verdict.FAIL, Reason.CONDITION_FAILED)),
        ("", "invert = true", PASS, (Verdict.FAIL, Reason.CONDITION_FAILED)),
        ("", "invert = true", REFUSED, (Verdict.PASS, Reason.OK)),
        (SLOW_IS_DEGRADED, "", WARN._replace(duration_s=2.0), (Verdict.PASS, Reason.OK)),
        # Not explained by the condition: it was judged by an earlier configuration.
        (SLOW_IS_DEGRADED, "", WARN, (Verdict.WARN, Reason.CONDITION_FAILED)),
        (OK_STATUS, BOTH, PASS, (Verdict.PASS, Reason.OK)),
        (OK_STATUS, BOTH, SLOW, (Verdict.FAIL, Reason.CONDITION_FAILED)),
        (OK_STATUS, BOTH, NOT_MET, (Verdict.FAIL, Reason.CONDITION_FAILED)),
        (BOTH, OK_STATUS, NOT_MET, (Verdict.FAIL, Reason.CONDITION_FAILED)),  # the status was the reason
        (BOTH, OK_STATUS, NOT_MET._replace(duration_s=2.0), (Verdict.PASS, Reason.OK)),
        (
            FAST,
            'up_when = ["response_time < 3s"]',
            NOT_MET._replace(duration_s=2.0),
            (Verdict.PASS, Reason.OK),
        ),
        (FAST, 'up_when = ["response_time < 3s"]', NOT_MET, (Verdict.FAIL, Reason.CONDITION_FAILED)),
    ],
)
def test_changed_conditions_on_stored_fields_are_evaluated(
    tmp_path: Path, current: str, new: str, result: RecordedResult, expected: tuple[Verdict, Reason]
) -> None:
    before, after = settings(tmp_path, current), settings(tmp_path, new)
    assert reconstruction_of(before, after)[1] == ()
    assert verdict(before, after, result) == expected


@pytest.mark.parametrize(
    ("current", "new", "obstacles"),
    [
        ("", OK_STATUS, ("status == 200",)),
        (OK_STATUS, FAST, ("status == 200",)),
        (FAST, "", ("up_when",)),
        (OK_STATUS, "", ("status == 200", "up_when")),
        ("", 'degraded_when = ["status == 201"]', ("status == 201",)),
        ("invert = true", "", ("invert",)),
        (f"{FAST}\ninvert = true", f"{SLOW_IS_DEGRADED}\ninvert = true", ("up_when", "invert")),
    ],
)
def test_other_changes_keep_the_stored_verdict_and_are_named(
    tmp_path: Path, current: str, new: str, obstacles: tuple[str, ...]
) -> None:
    before, after = settings(tmp_path, current), settings(tmp_path, new)
    assert reconstruction_of(before, after)[1] == obstacles
    for result in (PASS, SLOW, WARN, NOT_MET, UNRESOLVED, REFUSED, STALLED):
        assert verdict(before, after, result) == (result.verdict, result.reason)


def test_condition_on_a_phase_is_evaluated(tmp_path: Path) -> None:
    before, after = settings(tmp_path, ""), settings(tmp_path, 'up_when = ["phase.connect < 100ms"]')
    assert verdict(before, after, PASS._replace(phases_s={"connect": 0.02}))[0] is Verdict.PASS
    assert verdict(before, after, PASS._replace(phases_s={"connect": 0.2}))[0] is Verdict.FAIL
    # The phase did not take place: the condition has no value to compare.
    assert verdict(before, after, PASS) == (Verdict.FAIL, Reason.CONDITION_UNRESOLVED)


def test_results_of_an_unknown_configuration_keep_their_verdict(tmp_path: Path) -> None:
    for result in (PASS, SLOW, WARN, NOT_MET):
        assert verdict(None, settings(tmp_path, FAST), result) == (result.verdict, result.reason)


def test_inconclusive_reason_of_another_version_stays_inconclusive(tmp_path: Path) -> None:
    same = settings(tmp_path, "")
    result = STALLED._replace(reason=Reason.UNRECOGNIZED)
    assert verdict(same, same, result)[0] is Verdict.INCONCLUSIVE
