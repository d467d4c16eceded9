"""Judging: the table of verdicts, and the texts of results."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitord.conditions import FieldFunction, FieldType, Vocabulary, parse_condition
from monitord.dispatch.judging import judge
from monitord.model import EXCERPT, FieldValue, Observation, Reason, Verdict, VerdictRule
from monitord.monitors import Masking, MonitorSettings
from tests.fakes import monitor_settings

VOCABULARY = Vocabulary(
    {"status": FieldType.NUMBER, "response_time": FieldType.DURATION, "header": FieldFunction(FieldType.TEXT)}
)


def observation(reason: Reason, **fields: FieldValue) -> Observation:
    def response_data(name: str, argument: object) -> object:
        return "nginx" if (name, argument) == ("header", "Server") else None

    return Observation(
        datetime(2026, 1, 1, tzinfo=UTC), 0.1, reason, "looked", fields, response_data=response_data
    )


def settings(
    up_when: Sequence[str] = (), degraded_when: Sequence[str] = (), *, invert: bool = False
) -> MonitorSettings:
    return replace(
        monitor_settings(),
        invert=invert,
        up_when=tuple(parse_condition(text, VOCABULARY) for text in up_when),
        degraded_when=tuple(parse_condition(text, VOCABULARY) for text in degraded_when),
    )


WARNING = {
    Reason.PLUGIN_WARNING,
    Reason.UNIT_RESTARTED,
    Reason.CONTAINER_RESTARTED,
    Reason.DOMAIN_EXPIRING,
    Reason.MEMBER_DEGRADED,
    Reason.HEARTBEAT_LATE,
    Reason.HEARTBEAT_ENDED,
    Reason.DISK_FILLING,
    Reason.CERTIFICATE_EXPIRING,
    Reason.REBOOT_REQUIRED,
    Reason.MEMORY_LOW,
    Reason.CLOCK_UNSYNCHRONIZED,
    Reason.LOAD_HIGH,
    Reason.SLOW_BURN,
    Reason.CLUSTER_NODE_LOST,
    Reason.CLUSTER_CLOCK_OFFSET,
    Reason.CLUSTER_SLOW,
    Reason.CONFIGURATIONS_DIFFER,
}
INCONCLUSIVE = {
    Reason.PLUGIN_UNKNOWN,
    Reason.MANAGER_TIMEOUT,
    Reason.CONTAINER_STARTING,
    Reason.ENGINE_UNAVAILABLE,
    Reason.DOMAIN_QUERY_FAILED,
    Reason.MEMBERS_UNKNOWN,
    Reason.PROBER_STALLED,
    Reason.PROBER_SUSPENDED,
    Reason.PROBER_EXHAUSTED,
    Reason.PROBER_FORBIDDEN,
    Reason.PROBER_SOURCE_ADDRESS,
    Reason.PROBER_ISOLATED,
    Reason.MONITOR_BUG,
    Reason.PROBER_MEASURING,
    Reason.OBJECTIVE_NO_DATA,
    Reason.HISTORY_UNAVAILABLE,
    Reason.CLUSTER_UNKNOWN,
    Reason.PROBER_DISCONNECTED,
    Reason.NODE_LOST,
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_verdict(reason: Reason) -> None:
    expected = {Reason.OK: Verdict.PASS, **dict.fromkeys(WARNING, Verdict.WARN)}
    otherwise = Verdict.INCONCLUSIVE if reason in INCONCLUSIVE else Verdict.FAIL
    result = judge(observation(reason), settings(), None)
    assert result.verdict is expected.get(reason, otherwise)
    assert result.observation.reason is reason
    assert result.observation.response_data is None


@pytest.mark.parametrize(
    ("reason", "verdict", "shown"),
    [
        pytest.param(Reason.OK, Verdict.PASS, Reason.OK, id="pass is kept"),
        pytest.param(Reason.REFUSED, Verdict.INCONCLUSIVE, Reason.PROBER_STALLED, id="failure"),
        pytest.param(Reason.PLUGIN_WARNING, Verdict.INCONCLUSIVE, Reason.PROBER_STALLED, id="warning"),
        pytest.param(
            Reason.PLUGIN_UNKNOWN, Verdict.INCONCLUSIVE, Reason.PLUGIN_UNKNOWN, id="already inconclusive"
        ),
    ],
)
def test_check_that_has_not_passed_is_inconclusive_after_a_probe_error(
    reason: Reason, verdict: Verdict, shown: Reason
) -> None:
    result = judge(observation(reason), settings(), Reason.PROBER_STALLED)
    assert (result.verdict, result.observation.reason) == (verdict, shown)


@pytest.mark.parametrize(
    ("up_when", "degraded_when", "verdict", "reason", "says"),
    [
        pytest.param(["status == 200"], [], Verdict.PASS, Reason.OK, "", id="met"),
        pytest.param(
            ["status < 300", "status == 204"], [], Verdict.FAIL, Reason.CONDITION_FAILED,
            "; not met: status == 204 (actual: 200)", id="one of two is not met",
        ),
        pytest.param(
            ["header('X') == 'y'"], [], Verdict.FAIL, Reason.CONDITION_UNRESOLVED,
            "; not met: header('X')", id="unresolved",
        ),
        pytest.param(["header('Server') == 'nginx'"], [], Verdict.PASS, Reason.OK, "", id="by response data"),
        pytest.param(
            [], ["response_time > 500ms"], Verdict.WARN, Reason.CONDITION_FAILED,
            "; degraded: response_time > 500ms (actual: 700ms)", id="degraded",
        ),
        pytest.param([], ["response_time > 1s"], Verdict.PASS, Reason.OK, "", id="not degraded"),
        pytest.param([], ["header('X') == 'y'"], Verdict.PASS, Reason.OK, "", id="unresolved does not degrade"),
        pytest.param(
            ["status == 204"], ["response_time > 500ms"], Verdict.FAIL, Reason.CONDITION_FAILED, "; not met: status",
            id="a failure outweighs a warning",
        ),
    ],
)  # fmt: skip
def test_conditions_determine_the_verdict_on_a_response(
    up_when: list[str], degraded_when: list[str], verdict: Verdict, reason: Reason, says: str
) -> None:
    seen = observation(Reason.OK, status=200, response_time=0.7)
    result = judge(seen, settings(up_when, degraded_when), None)
    assert (result.verdict, result.observation.reason) == (verdict, reason)
    assert result.observation.detail.startswith(f"looked{says}")
    assert len(result.conditions) == len(up_when) + len(degraded_when)


def test_up_when_replaces_the_default_condition_of_the_type() -> None:
    seen = observation(Reason.CONDITION_FAILED, status=503)
    assert judge(seen, settings(), None).verdict is Verdict.FAIL
    assert judge(seen, settings(["status == 503"]), None).verdict is Verdict.PASS
    assert judge(seen, settings([], ["status == 503"]), None).verdict is Verdict.FAIL


def test_conditions_are_not_evaluated_without_a_response() -> None:
    result = judge(observation(Reason.REFUSED), settings(["status == 200"]), None)
    assert (result.verdict, result.observation.reason, result.conditions) == (
        Verdict.FAIL,
        Reason.REFUSED,
        (),
    )


def test_unusable_response_fails_regardless_of_conditions() -> None:
    seen = replace(observation(Reason.CONDITION_FAILED, status=200), is_usable=False)
    result = judge(seen, settings(["status == 200"]), None)
    assert (result.verdict, result.observation.reason) == (Verdict.FAIL, Reason.CONDITION_FAILED)


@pytest.mark.parametrize(
    ("reason", "up_when", "degraded_when", "invert", "decided_by", "deciding_indexes"),
    [
        pytest.param(Reason.OK, ["status == 200"], [], False, VerdictRule.REASON, (), id="pass"),
        pytest.param(Reason.REFUSED, ["status == 200"], [], False, VerdictRule.REASON, (), id="no response"),
        pytest.param(
            Reason.OK, ["status < 300", "status == 204"], ["status == 200"], False,
            VerdictRule.CONDITIONS, (1,), id="up_when",
        ),
        pytest.param(
            Reason.OK, ["status == 200"], ["status == 404", "status < 300"], False,
            VerdictRule.CONDITIONS, (2,), id="degraded_when",
        ),
        pytest.param(
            Reason.OK, ["header('X') == 'y'"], [], True, VerdictRule.CONDITIONS, (0,), id="unresolved and inverted"
        ),
        pytest.param(Reason.CONDITION_FAILED, [], [], False, VerdictRule.TYPE, (), id="default of the type"),
        pytest.param(Reason.OK, [], ["status == 200"], True, VerdictRule.INVERT, (), id="warning inverted"),
        pytest.param(Reason.OK, ["status == 204"], [], True, VerdictRule.INVERT, (), id="failure inverted"),
        pytest.param(Reason.UNIT_RESTARTED, [], [], False, VerdictRule.REASON, (), id="warning of the type"),
    ],
)  # fmt: skip
def test_result_contains_the_deciding_condition(
    reason: Reason,
    up_when: list[str],
    degraded_when: list[str],
    invert: bool,
    decided_by: VerdictRule,
    deciding_indexes: tuple[int, ...],
) -> None:
    result = judge(observation(reason, status=200), settings(up_when, degraded_when, invert=invert), None)
    assert (result.decided_by, result.deciding_indexes) == (decided_by, deciding_indexes)
    assert result.deciding_conditions == tuple(result.conditions[index] for index in deciding_indexes)


def test_probe_error_alone_determines_the_verdict() -> None:
    result = judge(observation(Reason.OK, status=200), settings(["status == 204"]), Reason.PROBER_STALLED)
    assert (result.decided_by, result.deciding_indexes) == (VerdictRule.REASON, ())


def test_deciding_condition_is_between_outcome_and_subject() -> None:
    seen = replace(observation(Reason.OK, status=503), subject="GET https://a.test/", outcome="HTTP 503")
    shown = judge(seen, settings(["status == 200"]), None).observation
    assert (shown.outcome, shown.note) == ("HTTP 503", "not met: status == 200 (actual: 503)")
    assert shown.summary == "HTTP 503; not met: status == 200 (actual: 503) (GET https://a.test/)"


def test_outcome_defaults_to_the_detail() -> None:
    shown = judge(observation(Reason.REFUSED), settings(), None).observation
    assert (shown.outcome, shown.subject, shown.summary) == ("looked", "", "looked")


# Inverted

SHOWS_NOTHING = {Reason.CONDITION_UNRESOLVED, Reason.EXTRACT_FAILED, Reason.PLUGIN_KILLED}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_its_verdict_when_inverted(reason: Reason) -> None:
    result = judge(observation(reason), settings(invert=True), None)
    if reason in INCONCLUSIVE:
        expected, shown, says = Verdict.INCONCLUSIVE, reason, "looked"
    elif reason is Reason.OK or reason in WARNING:
        expected, shown = Verdict.FAIL, Reason.CONDITION_FAILED
        says = "looked; passed, but is expected to fail (invert)"
    elif reason in SHOWS_NOTHING:
        expected, shown, says = Verdict.FAIL, reason, "looked"
    else:
        expected, shown, says = Verdict.PASS, Reason.OK, "looked; as expected (invert)"
    assert (result.verdict, result.observation.reason, result.observation.detail) == (expected, shown, says)


@pytest.mark.parametrize(
    ("up_when", "degraded_when", "verdict", "reason"),
    [
        pytest.param(["status == 200"], [], Verdict.FAIL, Reason.CONDITION_FAILED, id="met"),
        pytest.param(["status == 403"], [], Verdict.PASS, Reason.OK, id="not met"),
        pytest.param(
            ["header('X') == 'y'"], [], Verdict.FAIL, Reason.CONDITION_UNRESOLVED, id="unresolved fails"
        ),
        pytest.param([], ["status == 200"], Verdict.FAIL, Reason.CONDITION_FAILED, id="warning is inverted"),
    ],
)
def test_outcome_of_conditions_is_inverted(
    up_when: list[str], degraded_when: list[str], verdict: Verdict, reason: Reason
) -> None:
    result = judge(observation(Reason.OK, status=200), settings(up_when, degraded_when, invert=True), None)
    assert (result.verdict, result.observation.reason) == (verdict, reason)
    assert len(result.conditions) == 1


@pytest.mark.parametrize(
    ("reason", "verdict", "shown"),
    [
        pytest.param(Reason.OK, Verdict.FAIL, Reason.CONDITION_FAILED, id="pass is inverted"),
        pytest.param(
            Reason.TIMEOUT_CONNECT,
            Verdict.INCONCLUSIVE,
            Reason.PROBER_STALLED,
            id="failure is inconclusive",
        ),
    ],
)
def test_probe_error_never_passes_when_inverted(reason: Reason, verdict: Verdict, shown: Reason) -> None:
    result = judge(observation(reason), settings(invert=True), Reason.PROBER_STALLED)
    assert (result.verdict, result.observation.reason) == (verdict, shown)


# Texts of results


@pytest.mark.parametrize(
    ("reason", "invert", "excerpt"),
    [
        (Reason.OK, False, None),
        (Reason.OK, True, "what came"),
        (Reason.PLUGIN_WARNING, False, "what came"),
        (Reason.CONDITION_FAILED, False, "what came"),
        (Reason.CONDITION_FAILED, True, None),
        (Reason.PLUGIN_UNKNOWN, False, "what came"),
    ],
)
def test_excerpt_is_created_only_if_a_check_has_not_passed(
    reason: Reason, invert: bool, excerpt: str | None
) -> None:
    asked: list[str] = []

    def response_data(name: str, _: object) -> object:
        asked.append(name)
        return "what came"

    result = judge(replace(observation(reason), response_data=response_data), settings(invert=invert), None)
    assert result.observation.excerpt == excerpt
    assert asked == ([EXCERPT] if excerpt else [])


def test_secret_is_masked_in_output_and_not_in_comparisons() -> None:
    said = "the token is s3cret-token, 'quoted'"

    def response_data(name: str, _: object) -> object:
        return said if name in {"header", EXCERPT} else None

    seen = replace(
        observation(Reason.OK),
        detail="asked with s3cret-token",
        subject="GET /s3cret-token",
        outcome="got s3cret-token",
        response_data=response_data,
    )
    wanted = settings(["header('A') contains 's3cret-token'", "header('B') == 'x'"])
    result = judge(seen, wanted, None, Masking(["s3cret-token"]))
    assert result.conditions[0].endswith("""contains '***' (actual: "the token is ***, 'quoted'")""")
    assert result.verdict is Verdict.FAIL
    assert "header('A')" not in result.observation.detail
    assert "s3cret" not in result.observation.detail
    assert result.observation.subject == "GET /***"
    assert result.observation.outcome == "got ***"
    assert result.observation.note.startswith("not met: ")
    assert "s3cret" not in result.observation.note
    assert result.observation.excerpt == "the token is ***, 'quoted'"


@pytest.mark.parametrize(
    ("reason", "up_when", "degraded_when", "holds", "decided_by", "deciding_indexes"),
    [
        pytest.param(
            Reason.OK,
            ["status == 200"],
            ["response_time > 1s"],
            (True, False),
            VerdictRule.REASON,
            (),
            id="pass",
        ),
        pytest.param(
            Reason.OK,
            ["status == 200", "status == 204", "status == 301"],
            ["response_time > 1ms"],
            (True, False, False, True),
            VerdictRule.CONDITIONS,
            (1, 2),
            id="fail",
        ),
        pytest.param(
            Reason.OK,
            ["status == 200"],
            ["response_time > 1s", "response_time > 1ms", "status < 300"],
            (True, False, True, True),
            VerdictRule.CONDITIONS,
            (2, 3),
            id="warn",
        ),
        pytest.param(
            Reason.PLUGIN_WARNING,
            ["status == 200"],
            [],
            (True,),
            VerdictRule.REASON,
            (),
            id="warning of the type",
        ),
    ],
)
def test_result_shows_whether_each_condition_holds_and_is_expected_to(
    reason: Reason,
    up_when: list[str],
    degraded_when: list[str],
    holds: tuple[bool, ...],
    decided_by: VerdictRule,
    deciding_indexes: tuple[int, ...],
) -> None:
    seen = observation(reason, status=200, response_time=0.7)
    result = judge(seen, settings(up_when, degraded_when), None)
    assert result.holds == holds
    assert result.expected == (True,) * len(up_when) + (False,) * len(degraded_when)
    assert (result.decided_by, result.deciding_indexes) == (decided_by, deciding_indexes)


@pytest.mark.parametrize(
    ("up_when", "verdict"),
    [([], Verdict.WARN), (["status == 200"], Verdict.WARN), (["status == 204"], Verdict.FAIL)],
)
def test_warning_of_the_type_is_kept_unless_a_condition_fails(up_when: list[str], verdict: Verdict) -> None:
    seen = observation(Reason.PLUGIN_WARNING, status=200)
    assert judge(seen, settings(up_when), None).verdict is verdict


def test_conditions_that_were_evaluated_already_are_not_evaluated_again() -> None:
    wanted = settings(["status == 200", "status < 300"])
    lookups = {"status": 500}
    condition_results = [
        condition.evaluate(lambda reference: lookups[reference.name]) for condition in wanted.up_when
    ]
    result = judge(observation(Reason.OK, status=200), wanted, None, condition_results=condition_results)
    assert result.holds == (False, False)
    assert (
        result.observation.detail
        == "looked; not met: status == 200 (actual: 500), status < 300 (actual: 500)"
    )


def test_value_in_the_text_of_a_condition_is_masked() -> None:
    wanted = settings(["header('Server') == 'apache'"])
    result = judge(observation(Reason.OK), wanted, None, Masking(["nginx"]))
    assert "***" in result.conditions[0]
    assert "nginx" not in result.conditions[0] + result.observation.detail
