"""From a file to frozen settings: sections, defaults, and diagnostics between sections."""

from pathlib import Path

import pytest

from monitord.config import ConfigAccess, Secret
from monitord.dispatch import LoggedChecks
from monitord.model import MonitorContext, Severity, TokenRights
from monitord.settings import ApiToken, LogLevel, Settings, read_settings
from tests.configurations import errors_of, settings_of

URL = 'url = "http://localhost/"'


def test_empty_configuration_has_defaults(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "") == Settings()


def test_defaults_apply_to_every_monitor_and_its_own_keys_override_them(tmp_path: Path) -> None:
    text = '[defaults]\ncheck_every = "20s"\ntags = ["all"]\n'
    text += f"[monitors.a]\n{URL}\n[monitors.b]\n{URL}\ncheck_every = 40\n"
    a, b = settings_of(tmp_path, text).monitors
    assert (a.check_every_s, b.check_every_s) == (20.0, 40.0)
    assert a.tags == b.tags == ("all",)


def test_defaults_may_contain_keys_of_some_types(tmp_path: Path) -> None:
    text = '[defaults]\nfollow_redirects = false\nup_when = ["status == 200"]\n'
    (monitor,) = settings_of(tmp_path, f"{text}[monitors.a]\n{URL}\n").monitors
    assert monitor.options.follow_redirects is False
    assert [str(condition) for condition in monitor.up_when] == ["status == 200"]


def test_proxy_socket_and_user_header_are_read(tmp_path: Path) -> None:
    status = settings_of(tmp_path, '[status]\nproxy_socket = "/run/login.sock"\n').status
    assert (status.proxy_socket, status.user_header) == (Path("/run/login.sock"), "X-Remote-User")
    text = '[status]\nproxy_socket = "/run/login.sock"\nuser_header = "Remote-User"\n'
    assert settings_of(tmp_path, text).status.user_header == "Remote-User"


def test_other_sections_are_read(tmp_path: Path) -> None:
    text = """
[log]
level = "debug"
checks = "changes"
[status]
socket = "/run/x/status.sock"
listen = ["127.0.0.1:9120", "[::1]:9121", "127.0.0.1:9120"]
allowed_hosts = ["Monitor.Example.org.", "monitor.example.org"]
public_url = "https://status.example.org/monitor/"
[status.tokens.ops]
token = "0123456789abcdef"
[status.tokens.phone]
token = "fedcba9876543210"
rights = "acknowledge"
[limits]
max_concurrent_checks = 3
max_concurrent_per_host = 2
"""
    settings = settings_of(tmp_path, text)
    assert (settings.log.level, settings.log.checks) == (LogLevel.DEBUG, LoggedChecks.CHANGES)
    assert settings.status.socket == Path("/run/x/status.sock")
    assert list(map(str, settings.status.listen)) == ["127.0.0.1:9120", "[::1]:9121"]
    assert settings.status.tokens == (
        ApiToken("ops", Secret("0123456789abcdef"), TokenRights.ALL),
        ApiToken("phone", Secret("fedcba9876543210"), TokenRights.ACKNOWLEDGE),
    )
    assert "0123456789abcdef" not in repr(settings)
    assert settings.status.allowed_hosts == ("monitor.example.org",)
    assert settings.status.public_url == settings.alerts.public_url == "https://status.example.org/monitor"
    assert (settings.limits.max_concurrent_checks, settings.limits.max_concurrent_per_host) == (3, 2)


def test_locations_of_a_token_are_read(tmp_path: Path) -> None:
    text = '[status.tokens.branch]\ntoken = "0123456789abcdef"\nlocations = ["branch", "office"]\n'
    (token,) = settings_of(tmp_path, f'{text}rights = "report"\n').status.tokens
    assert (token.rights, token.locations) == (TokenRights.REPORT, ("branch", "office"))
    assert errors_of(tmp_path, text) == [
        'monitord.toml:3: status.tokens.branch.locations: has no effect without rights = "report"; '
        "write both, or remove it"
    ]


def test_context_of_a_monitor_is_read(tmp_path: Path) -> None:
    text = f'''
[defaults]
contact = "ops@example.org"
runbook = "https://wiki.example.org/monitors"
[monitors.a]
{URL}
title = "Web shop"
description = """
Sells tea.
Runs on db1."""
severity = "info"
[monitors.b]
{URL}
runbook = ""
'''
    first, second = settings_of(tmp_path, text).monitors
    assert first.context == MonitorContext(
        title="Web shop",
        description="Sells tea.\nRuns on db1.",
        runbook="https://wiki.example.org/monitors",
        contact="ops@example.org",
        severity=Severity.INFO,
    )
    assert second.context == MonitorContext(contact="ops@example.org")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('title = "a\\nb"', "contains a line break"),
        (f'title = "{"a" * 101}"', "is longer than 100 characters"),
        ('description = "a\\u001bb"', "contains a control character"),
        (f'description = "{"a" * 1001}"', "is longer than 1000 characters"),
        ('runbook = "wiki.example.org/shop"', "is not a web address"),
        ('runbook = "javascript:alert(1)"', "is not a web address"),
        ('runbook = "https://wiki.example.org/a b"', "is not a web address"),
        ('runbook = "https://[::1/"', "is not a web address"),
        (f'runbook = "https://wiki.example.org/{"a" * 500}"', "is longer than 500 characters"),
        (f'contact = "{"a" * 201}"', "is longer than 200 characters"),
        ('severity = "page"', "severity"),
    ],
)
def test_invalid_context_is_an_error(tmp_path: Path, line: str, problem: str) -> None:
    (diagnostic,) = errors_of(tmp_path, f"[monitors.a]\n{URL}\n{line}\n")
    assert problem in diagnostic


@pytest.mark.parametrize("url", ["status.example.org", "https://status.example.org/?a=b", "https:///"])
def test_invalid_public_url_is_an_error(tmp_path: Path, url: str) -> None:
    (diagnostic,) = errors_of(tmp_path, f'[status]\npublic_url = "{url}"\n')
    assert "public_url" in diagnostic


def test_maintenance_windows_are_read_with_their_monitors(tmp_path: Path) -> None:
    text = f'[monitors.web-1]\n{URL}\ntags = ["prod"]\n[maintenance.night]\nschedule = "Sun 03:00 UTC"\n'
    text += 'duration = "2h"\nmonitors = ["web-*"]\ntags = ["prod"]\n'
    (window,) = settings_of(tmp_path, text).maintenance
    assert (window.name, window.duration_s, window.matches("web-1", ("prod",))) == ("night", 7200.0, True)
    assert settings_of(tmp_path, text).maintenance == settings_of(tmp_path, text).maintenance


def test_tag_of_a_broken_monitor_is_not_reported_as_unknown(tmp_path: Path) -> None:
    text = '[monitors.a]\ntags = ["prod"]\n[maintenance.x]\nfrom = 2027-01-01T00:00:00Z\nduration = 60\n'
    (diagnostic,) = errors_of(tmp_path, text + 'monitors = ["a"]\ntags = ["prod"]\n')
    assert "has no type" in diagnostic


def test_retry_is_never_later_than_the_next_check(tmp_path: Path) -> None:
    (monitor,) = settings_of(
        tmp_path, f'[monitors.a]\n{URL}\ncheck_every = "4s"\nretry_every = "9s"\n'
    ).monitors
    assert monitor.retry_every_s == 4.0


def test_default_timeout_is_at_most_the_period(tmp_path: Path) -> None:
    (monitor,) = settings_of(tmp_path, f"[monitors.a]\n{URL}\ncheck_every = 2\n").monitors
    assert monitor.timeout_s == 2.0


def test_equal_files_give_equal_settings(tmp_path: Path) -> None:
    text = f'[monitors.a]\n{URL}\nheaders = {{ X = "1" }}\n'
    assert settings_of(tmp_path, text).monitors == settings_of(tmp_path, text).monitors
    assert settings_of(tmp_path, text).monitors != settings_of(tmp_path, text.replace("1", "2")).monitors


@pytest.mark.parametrize(
    ("text", "diagnostics"),
    [
        pytest.param(
            f'[monitors.a]\n{URL}\ntimeout = "40s"\n',
            [
                'monitord.toml:3: monitors.a.timeout: "40s" exceeds check_every, which is "30s"; '
                'write at most "30s", or make check_every longer'
            ],
            id="timeout_exceeds_the_period",
        ),
        pytest.param(
            f'[defaults]\ntimeout = "10s"\n[monitors.a]\n{URL}\ncheck_every = "5s"\n',
            [
                'monitord.toml:5: monitors.a.check_every: "5s" is less than timeout, which is "10s"; '
                'also write timeout = "5s" or less'
            ],
            id="an_inherited_timeout_exceeds_its_period",
        ),
        pytest.param(
            "[monitors.a]\ncheck_every = 5\n",
            [
                'monitord.toml:1: monitors.a: has no type; write url = "https://…" for an http monitor, or type = "…"'
            ],
            id="no_type",
        ),
        pytest.param(
            '[monitors.a]\nurll = "http://a.test/"\n',
            ["monitord.toml:1: monitors.a: has no type; did you mean url instead of urll?"],
            id="a_misspelt_key_that_implies_the_type",
        ),
        pytest.param(
            f"[monitors.www.example.org]\n{URL}\n",
            [
                "monitord.toml:1: monitors.www: has no type; "
                'quote a name that contains dots: write [monitors."www.example.org"]'
            ],
            id="a_name_with_dots_and_no_quotes",
        ),
        pytest.param(
            '[monitors.www.headers]\nAccept = "text/html"\n',
            [
                'monitord.toml:1: monitors.www: has no type; write url = "https://…" for an http monitor, or type = "…"'
            ],
            id="only_a_table_of_options",
        ),
        pytest.param(
            '[monitors.a]\ntype = "telepathy"\nmind = "yours"\ncheck_every = "x"\n',
            [
                'monitord.toml:2: monitors.a.type: "telepathy" is not a monitor type; write one of: ',
                "check_every",
            ],
            id="unknown_type",
        ),
        pytest.param(
            '[monitors.a]\ntype = "ping"\n',
            ['monitord.toml:2: monitors.a.type: "ping" is not a monitor type; did you mean "icmp"?'],
            id="type_of_another_program",
        ),
        pytest.param(
            '[status.tokens.a]\ntoken = "0123456789abcdef"\nrights = "write"\n',
            ['monitord.toml:3: status.tokens.a.rights: "write" is not a valid value; write '],
            id="rights_of_a_token",
        ),
        pytest.param(
            '[status]\nsocket = "status.sock"\n',
            [
                'monitord.toml:2: status.socket: "status.sock" is not an absolute path; '
                'write a path such as "/run/monitord/status.sock"'
            ],
            id="relative_socket",
        ),
        pytest.param(
            f'[status]\nsocket = "/{"x" * 120}"\n',
            ["monitord.toml:2: status.socket: is longer than 107 bytes; choose a shorter path (unix(7))"],
            id="long_socket",
        ),
        pytest.param(
            '[status]\nproxy_socket = "login.sock"\nuser_header = "Remote User"\n',
            [
                'monitord.toml:2: status.proxy_socket: "login.sock" is not an absolute path; '
                'write a path such as "/run/monitord-login.sock"',
                'monitord.toml:3: status.user_header: "Remote User" is not the name of a header field; '
                'write a name such as "X-Remote-User"',
            ],
            id="proxy_socket",
        ),
        pytest.param(
            '[status]\nuser_header = "Cookie"\n',
            [
                "monitord.toml:2: status.user_header: has no effect without proxy_socket; "
                'write proxy_socket = "/run/monitord-login.sock" as well, the only socket on which the header is used',
                'monitord.toml:2: status.user_header: "Cookie" has another meaning; '
                'write a name such as "X-Remote-User"',
            ],
            id="user_header",
        ),
        pytest.param(
            '[status]\nlisten = ["127.0.0.1:9120", "localhost:1", "[::1]:0", "1.2.3.4:65536", "::1:80"]\n',
            [
                f'monitord.toml:2: status.listen[{index}]: "{text}" is not an address and a port; '
                'write "127.0.0.1:9120" or "[::1]:9120"'
                for index, text in ((1, "localhost:1"), (2, "[::1]:0"), (3, "1.2.3.4:65536"), (4, "::1:80"))
            ],
            id="listen",
        ),
        pytest.param(
            '[status]\nallowed_hosts = "https://x.example.org/"\n[status.tokens.ops]\ntoken = "short"\n'
            '[status.tokens.a]\ntoken = "0123456789abcdef"\n[status.tokens.b]\ntoken = "0123456789abcdef"\n',
            [
                'monitord.toml:2: status.allowed_hosts: "https://x.example.org/" is not a host name; '
                'write it without scheme and port: "monitor.example.org"',
                "monitord.toml:4: status.tokens.ops.token: is shorter than 16 characters; "
                "create one with: openssl rand -hex 32",
                "monitord.toml:8: status.tokens.b.token: is that of another name; "
                "create one for each name: openssl rand -hex 32",
            ],
            id="hosts_and_tokens",
        ),
        pytest.param(
            '[status]\ntoken = "0123456789abcdef"\n',
            [
                "monitord.toml:2: status.token: is not an option of [status]; "
                "write [status.tokens.NAME] with token = … below it"
            ],
            id="single_token",
        ),
        pytest.param(
            f'[defaults]\nfail_after = 0\nchekc_every = 5\n[monitors."a b"]\n{URL}\n',
            [
                "monitord.toml:2: defaults.fail_after",
                "monitord.toml:3: defaults.chekc_every",
                "monitord.toml:4",
            ],
            id="all_at_once",
        ),
    ],
)
def test_diagnostics_have_a_place_and_a_fix(tmp_path: Path, text: str, diagnostics: list[str]) -> None:
    found = errors_of(tmp_path, text)
    assert len(found) == len(diagnostics), found
    for has, wanted in zip(found, diagnostics, strict=True):
        assert wanted in has


def test_name_is_taken_over_once_and_only_when_it_is_free(tmp_path: Path) -> None:
    renamed = f'[monitors.b]\n{URL}\nrenamed_from = "a"\n'
    assert settings_of(tmp_path, renamed).monitors[0].renamed_from == "a"
    (diagnostic,) = errors_of(tmp_path, f"[monitors.a]\n{URL}\n{renamed}")
    assert diagnostic == (
        'monitord.toml:5: monitors.b.renamed_from: "a" is still configured as a monitor; remove one of them'
    )
    (diagnostic,) = errors_of(tmp_path, renamed + renamed.replace("monitors.b", "monitors.c"))
    assert '"a" is also the previous name of b' in diagnostic


def test_removing_renamed_from_changes_nothing(tmp_path: Path) -> None:
    text = f"[monitors.b]\n{URL}\n"
    assert (
        settings_of(tmp_path, text + 'renamed_from = "a"\n').monitors == settings_of(tmp_path, text).monitors
    )


def test_installed_configuration_and_examples_are_valid() -> None:
    root = Path(__file__).parent.parent / "etc"
    for config in [root / "monitord.toml", *sorted((root / "examples").rglob("*.toml"))]:
        read_settings(config, access=ConfigAccess.OTHER_USER)


def test_conditions_are_compiled_for_the_type(tmp_path: Path) -> None:
    text = f"[monitors.a]\n{URL}\n"
    text += (
        """up_when = ["status == 200", "json('$.ok') == true"]\ndegraded_when = ["response_time > 500ms"]\n"""
    )
    (monitor,) = settings_of(tmp_path, text).monitors
    assert [str(condition) for condition in monitor.up_when] == ["status == 200", "json('$.ok') == true"]
    assert [str(condition) for condition in monitor.degraded_when] == ["response_time > 500ms"]
    assert monitor.needs == {"status", "json", "response_time"}


def test_broken_condition_is_a_diagnostic_with_its_column(tmp_path: Path) -> None:
    (diagnostic,) = errors_of(tmp_path, f'[monitors.a]\n{URL}\nup_when = ["stauts == 200"]\n')
    assert diagnostic == (
        'monitord.toml:3: monitors.a.up_when[0]: "stauts == 200" at column 1: there is no field stauts; '
        "did you mean status?"
    )


def test_single_listen_address_needs_no_list(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[status]\nlisten = "0.0.0.0:80"\nallowed_hosts = "a"\n')
    assert (list(map(str, settings.status.listen)), settings.status.allowed_hosts) == (["0.0.0.0:80"], ("a",))


# A configuration with a secret in a place that is not for it; the error must not show it.
MISPLACED = r"""
[monitors.a]
url="http://h/"
basic_auth="kim:hunter22"
---
[monitors.a]
url="http://h/"
basic_auth=["kim","hunter22"]
---
[monitors.a]
url="http://h/"
headers="Authorization: Bearer hunter22"
---
[monitors.a]
url="http://h/"
headers=["Authorization: Bearer hunter22"]
---
[monitors.a]
url="http://h/"
headers={"Authorization: Bearer hunter22"="x"}
---
[monitors.a]
url=["http://kim:hunter22@h/"]
---
[monitors.a]
url="kim:hunter22@h"
---
[monitors.a]
url="hooks.slack.com/services/T000/B000/hunter22"
---
[notifiers.a]
url="htps://hooks.slack.com/services/T000/B000/hunter22"
---
[monitors]
a="https://kim:hunter22@h/"
---
[monitors]
password="hunter22"
---
[notifiers]
token="hunter22"
---
password="hunter22"
---
[status]
token=["hunter22"]
---
[status]
listen="token=hunter22"
---
[monitors.a]
command="/usr/bin/curl -u kim:hunter22 http://h/"
---
[monitors.a]
command="/usr/bin/check --password hunter22"
---
[monitors.a]
command="/usr/bin/check -phunter22"
---
[monitors.a]
command="/usr/bin/curl -H 'Authorization: Bearer hunter22'"
---
[monitors.a]
command=["curl -u kim:hunter22 http://h/"]
---
[monitors.a]
command=["/bin/a"]
environment="PASSWORD=hunter22"
---
[monitors.a]
command=["/bin/a"]
environment=["PASSWORD=hunter22"]
---
[notifiers.a]
to="a@b.org"
server="kim:hunter22@mail.example.org"
---
[notifiers.a]
to="a@b.org"
security="starttls"
username="kim"
password=["hunter22"]
---
[notifiers.a]
to="a@b.org"
username={password="hunter22"}
---
[notifiers.a]
to=["kim:hunter22"]
---
[notifiers.a]
routing_key=["hunter22"]
---
[monitors.a]
url="http://h/"
proxy="kim:hunter22@proxy:3128"
---
[monitors.a]
url="http://h/"
client_key_file='''-----BEGIN PRIVATE KEY-----
hunter22
-----END PRIVATE KEY-----'''
client_certificate_file="/x"
---
[monitors.a]
url="http://h/"
verify="password=hunter22"
---
[monitors.a]
url="http://h/"
timeout="Bearer hunter22"
---
[monitors.a]
url="http://h/"
bearer_token={value="hunter22"}
---
[monitors.a]
url="http://h/"
bearer_token={env="hunter22-x"}
---
[monitors.a]
url="http://h/"
form="password=hunter22"
---
[monitors.a]
url="http://h/"
json="{password: hunter22}"
body="x"
---
[monitors.a]
address="kim:hunter22@h:25"
---
[monitors.a]
address="h:25"
dialogue="PASS hunter22"
---
[monitors.a]
address="h:25"
dialogue=["PASS hunter22"]
---
[monitors.a]
address="h:25"
send=["PASS hunter22"]
---
[monitors."https://kim:hunter22@h/"]
url="x"
---
[monitors.a]
url="http://h/"
"password=hunter22"=1
---
[monitors.a]
url="http://kim:hunter22@h:99999/"
---
[monitors.a]
url="http://kim:hunter22@h h/"
---
[monitors.a]
url="http://h/"
connect_to="kim:hunter22@x"
---
[defaults]
basic_auth="kim:hunter22"
---
[monitors.a]
url="http://h/"
bearer_token="hunter22\nx"
---
[monitors.a]
url="http://h/"
headers={A="hunter22\nx"}
---
[monitors.a]
url="http://h/"
basic_auth={username="kim:hunter22", password="x"}
---
[monitors.a]
url="http://h/"
basic_auth={username="kim", passwort="hunter22"}
---
[monitors.a]
url="http://h/"
up_when=["header('X-Token') = 'hunter22'"]
---
[alerts]
routes="token=hunter22"
---
include="https://kim:hunter22@h/"
"""


@pytest.mark.parametrize("text", MISPLACED.split("---\n"))
def test_no_error_shows_a_secret_in_the_wrong_place(tmp_path: Path, text: str) -> None:
    diagnostics = errors_of(tmp_path, text)
    assert diagnostics
    assert not [diagnostic for diagnostic in diagnostics if "hunter22" in diagnostic]


UNSAFE_TAGS = [
    pytest.param("\\u001b[31mprod", "control character", id="escape"),
    pytest.param("prod\\u202egnitset", "control character", id="right_to_left_override"),
    pytest.param("pro\\u200bd", "control character", id="zero_width_space"),
    pytest.param("prod\\u2028", "control character", id="line_separator"),
    pytest.param("prod\\u009b2J", "control character", id="c1_control"),
    pytest.param("prod\\n", "control character", id="line_feed"),
    pytest.param("\\ufeffprod", "control character", id="byte_order_mark"),
]


@pytest.mark.parametrize(("tag", "problem"), UNSAFE_TAGS)
def test_unprintable_tag_is_rejected(tmp_path: Path, tag: str, problem: str) -> None:
    (diagnostic,) = errors_of(tmp_path, f'[monitors.a]\n{URL}\ntags = ["web", "{tag}"]\n')
    assert ":3: monitors.a.tags[1]: " in diagnostic
    assert problem in diagnostic
    assert all(character.isprintable() or character == "\n" for character in diagnostic)


def test_tags_of_any_script_are_accepted(tmp_path: Path) -> None:
    text = f'[monitors.a]\n{URL}\ntags = ["Büro 2", "本番", "a/b:c"]\n'
    assert settings_of(tmp_path, text).monitors[0].tags == ("Büro 2", "本番", "a/b:c")
