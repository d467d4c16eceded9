"""Numbers in conditions that cannot be meant, type by type, and conditions that no check can meet."""

from pathlib import Path

import pytest

from monitord.conditions import ConditionError, parse_condition
from monitord.monitors import MONITOR_TYPES, monitor_type
from tests.configurations import errors_of, settings_of

TYPES = list(MONITOR_TYPES)


def problem_of(type_name: str, text: str) -> str:
    """Return the error of the condition; an empty text if it is accepted."""
    kind = monitor_type(type_name)
    assert kind is not None
    try:
        parse_condition(text, kind.vocabulary)
    except ConditionError as error:
        return f"{error.message}; {error.hint}"
    return ""


@pytest.mark.parametrize(
    "type_name", [name for name in TYPES if name not in {"cluster", "group", "objective"}]
)
def test_number_without_unit_that_is_implausible_as_seconds_is_rejected(type_name: str) -> None:
    assert problem_of(type_name, "response_time < 500") == "500 would be 500 seconds; write 500ms or 500s"
    assert (
        problem_of(type_name, "response_time in [1, 250]") == "250 would be 250 seconds; write 250ms or 250s"
    )
    for text in ("response_time < 500ms", "response_time < 500s", "response_time < 5", "response_time > 0"):
        assert problem_of(type_name, text) == ""


@pytest.mark.parametrize(
    ("type_name", "text", "problem"),
    [
        ("http", "phase.connect < 200", "200 would be 200 seconds; write 200ms or 200s"),
        ("icmp", "ping.rtt > 100", "100 would be 100 seconds; write 100ms or 100s"),
        ("icmp", "ping.rtt_max >= 99.5", "99.5 would be 99.5 seconds; write 99.5ms or 99.5s"),
        ("http", "certificate.expires_in < 14", "14 would be 14 seconds; write 14d or 14s"),
        ("tls", "certificate.expires_in < 30", "30 would be 30 seconds; write 30d or 30s"),
        ("tcp", "certificate.expires_in > 7", "7 would be 7 seconds; write 7d or 7s"),
        ("dns", "certificate.expires_in <= 3600", "3600 would be 3600 seconds; write 3600d or 3600s"),
        ("http", "status == 2000", "status is never 2000; it is from 100 to 999"),
        ("http", "status == 20", "status is never 20; it is from 100 to 999"),
        ("http", "status != 2000", "status is never 2000; it is from 100 to 999"),
        ("http", "status in [200, 2040]", "status is never 2040; it is from 100 to 999"),
        ("http", "status < 100", "status is never below 100; it is from 100 to 999"),
        ("http", "status > 5000", "status is never 5000; it is from 100 to 999"),
        ("http", "status == 200.5", "status is a whole number, and 200.5 is not; write 200"),
        ("http", "response_time < 0", "response_time is never below 0; it is at least 0s"),
        ("http", "response_time < 0s", "response_time is never below 0s; it is at least 0s"),
        ("http", "response_time == -1s", "response_time is never -1s; it is at least 0s"),
        ("http", "body.length < 1.5", "body.length is a whole number, and 1.5 is not; write 1"),
        ("http", "body.length == -1", "body.length is never -1; it is at least 0B"),
        ("http", "ip_version == 10", "ip_version is never 10; it is 4 or 6"),
        ("http", "ip_version in [4, 5]", "ip_version is never 5; it is 4 or 6"),
        ("http", "http_version == 'HTTP/1.1'", "http_version is never 'HTTP/1.1'; it is '1.0' or '1.1'"),
        *(
            (
                name,
                "tls.version != 'TLS 1.3'",
                "tls.version is never 'TLS 1.3'; it is 'TLSv1', 'TLSv1.1', 'TLSv1.2' or 'TLSv1.3'",
            )
            for name in ("http", "tcp", "tls", "dns")
        ),
        ("http", "redirects > 10", "redirects is never above 10; it is from 0 to 10"),
        ("http", "not exists(header('X-A:'))", "'X-A:' is not the name of a header; write header('X-A')"),
        ("http", "header('X A') == ''", "'X A' is not the name of a header; write header('X-A')"),
        (
            "icmp",
            "ping.loss_percent > 0.2",
            "ping.loss_percent is in percent, so 0.2 is not plausible; write 20",
        ),
        ("icmp", "ping.loss_percent > 100", "ping.loss_percent is never above 100; it is from 0 to 100"),
        ("icmp", "ping.loss_percent <= 500", "ping.loss_percent is never 500; it is from 0 to 100"),
        ("icmp", "ping.received < 0", "ping.received is never below 0; it is at least 0"),
        (
            "disk",
            "disk.used_percent > 0.9",
            "disk.used_percent is in percent, so 0.9 is not plausible; write 90",
        ),
        ("disk", "disk.time_until_full < 7", "7 would be 7 seconds; write 7d or 7s"),
        ("exec", "exit_status == 256", "exit_status is never 256; it is from 0 to 255"),
        ("exec", "exit_status == -1", "exit_status is never -1; it is from 0 to 255"),
        ("clock", "clock.offset > 100", "100 would be 100 seconds; write 100ms or 100s"),
        (
            "clock",
            "clock.source == 'ntp'",
            "clock.source is never 'ntp'; it is 'timesyncd', 'chrony', 'ntpd' or 'kernel'",
        ),
        (
            "memory",
            "memory.available_percent < 101",
            "memory.available_percent is never 101; it is from 0 to 100",
        ),
        (
            "memory",
            "pressure.memory.some_avg10 > 100",
            "pressure.memory.some_avg10 is never above 100; it is from 0 to 100",
        ),
        ("dns", "dns.answer_count > 1.5", "dns.answer_count is a whole number, and 1.5 is not; write 1"),
    ],
)
def test_implausible_number_is_rejected(type_name: str, text: str, problem: str) -> None:
    assert problem_of(type_name, text) == problem


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("http", "status > 0"),
        ("http", "status != 0"),
        ("http", "status >= 200 and status < 600"),
        ("http", "status <= 999"),
        ("http", "phase.connect < 0.25"),
        ("http", "certificate.expires_in > 0"),
        ("http", "certificate.expires_in > -1d"),
        ("http", "certificate.expires_in < 1209600"),
        ("http", "body.length > 0 and body.length < 1000000"),
        ("http", "json('$.lag') < 500"),
        ("icmp", "ping.loss_percent > 0 and ping.loss_percent < 1 or ping.loss_percent == 100"),
        ("exec", "perfdata('time') < 0.001"),
        ("exec", "exit_status in [0, 255]"),
        ("unit", "unit.since > 3600"),
        ("domain", "domain.expires_in < 1209600"),
        ("container", "container.exit_code in [0, 255] or container.since > 3600"),
        ("heartbeat", "heartbeat.last_seen < 7200"),
    ],
)
def test_plausible_number_is_accepted(type_name: str, text: str) -> None:
    assert problem_of(type_name, text) == ""


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            'url = "https://x/"\ndegraded_when = ["response_time > 10s"]',
            "is never true, because a check ends after its timeout of 5s; write less than 5s",
        ),
        (
            'url = "http://x/"\nfollow_redirects = false\nup_when = ["certificate.expires_in > 7d"]',
            "uses certificate.expires_in, which is available only with TLS; remove it",
        ),
        (
            'type = "tcp"\naddress = "x:1"\ndegraded_when = ["tls.version == \'TLSv1.2\'"]',
            "uses tls.version, which is available only with TLS; remove it",
        ),
        (
            'type = "dns"\nname = "x."\ndegraded_when = ["certificate.expires_in < 7d"]',
            "uses certificate.expires_in, which is available only with TLS; remove it",
        ),
        (
            'url = "http://x/"\nmethod = "HEAD"\nup_when = ["body contains \'ok\'"]',
            "uses body, which a response to HEAD does not have; remove it",
        ),
        (
            'url = "http://x/"\nread_body = false\nup_when = ["body contains \'ok\'"]',
            "uses body, which is available only with read_body = true; remove it",
        ),
        (
            'url = "http://x/"\nup_when = ["status == 200", "status == 204"]',
            "up_when: can never hold, because status == 200 excludes status == 204; "
            "combine them with or in one condition",
        ),
        (
            'url = "http://x/"\ndegraded_when = ["status == 301 and status == 302"]',
            "can never hold, because status == 301 excludes status == 302; use or, or write field in [value, value]",
        ),
    ],
    ids=["timeout", "http", "tcp", "dns", "head", "unread body", "list", "and"],
)
def test_condition_that_no_check_can_meet_is_rejected(tmp_path: Path, keys: str, problem: str) -> None:
    (failure,) = errors_of(tmp_path, f"[monitors.a]\n{keys}\n")
    assert problem in failure


@pytest.mark.parametrize(
    "keys",
    [
        'url = "https://x/"\ntimeout = "20s"\ndegraded_when = ["response_time > 10s"]',
        'url = "https://x/"\nup_when = ["response_time < 10s"]',
        'url = "https://x/"\ndegraded_when = ["status == 301", "status == 302"]',
        'url = "https://x/"\nmethod = "HEAD"\nup_when = ["exists(header(\'ETag\'))"]',
        'url = "http://x/"\ndegraded_when = ["certificate.expires_in < 7d"]',
        'type = "tcp"\naddress = "x:1"\ntls = true\ndegraded_when = ["certificate.expires_in < 7d"]',
        'type = "tcp"\naddress = "x:1"\ndialogue = [{ starttls = true }]\nup_when = ["certificate.expires_in > 7d"]',
        'type = "dns"\nname = "x."\nprotocol = "tls"\nserver = "x"\nup_when = ["certificate.expires_in > 7d"]',
    ],
)
def test_condition_that_a_check_can_meet_is_accepted(tmp_path: Path, keys: str) -> None:
    assert len(settings_of(tmp_path, f"[monitors.a]\n{keys}\n").monitors) == 1


def test_condition_in_defaults_may_fit_some_monitors_only(tmp_path: Path) -> None:
    text = (
        '[defaults]\ndegraded_when = ["response_time > 10s", "certificate.expires_in < 7d"]\n'
        '[monitors.a]\nurl = "http://x/"\nfollow_redirects = false\n'
        '[monitors.b]\nurl = "https://x/"\ntimeout = "20s"\n'
    )
    assert len(settings_of(tmp_path, text).monitors) == 2
