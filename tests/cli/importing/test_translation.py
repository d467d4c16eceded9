"""Translation of single options of each format."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from monitord.cli.importing.conversion import glob_pattern, go_duration, json_path, literal, status_condition
from monitord.cli.importing.draft import Draft, DraftSection, name_of, without_credentials
from monitord.cli.importing.formats import FORMATS
from monitord.cli.importing.source import FieldError, ImportSource
from monitord.cli.importing.toml_text import assignment, comment
from monitord.conditions import Condition, parse_condition
from monitord.monitors import MONITOR_TYPES


def compiled(condition: str) -> Condition:
    return parse_condition(condition, MONITOR_TYPES["http"].vocabulary)


def section_of(format_name: str, text: str, *more: str) -> DraftSection:
    """The only monitor of a source."""
    draft = Draft()
    sources = [ImportSource(Path(f"file-{number}"), content) for number, content in enumerate((text, *more))]
    FORMATS[format_name].translate(sources, draft)
    (section,) = draft.of_kind("monitors", active=False)
    return section


def gatus(condition: str, url: str = "https://www.example.org/", **keys: Any) -> DraftSection:
    endpoint = {"name": "a", "url": url, "conditions": [condition], **keys}
    return section_of("gatus", json.dumps({"endpoints": [endpoint]}))


@pytest.mark.parametrize(
    ("condition", "translated"),
    [
        ("[STATUS] == 200", "status == 200"),
        ("[STATUS] < 300", "status < 300"),
        ("200 == [STATUS]", "status == 200"),
        ("[STATUS] == any(200, 429)", "status in [200, 429]"),
        ("[STATUS] != any(500, 502)", "not status in [500, 502]"),
        ("[RESPONSE_TIME] < 500", "response_time < 500ms"),
        ("[CERTIFICATE_EXPIRATION] > 48h", "certificate.expires_in > 2d"),
        ("[BODY] == pat(*it's up*)", r"body contains 'it\'s up'"),
        ("[BODY] != pat(*error*)", "not body contains 'error'"),
        ("[BODY] == a.b", r"body matches '(?s)^a\.b$'"),
        ("[BODY].status == UP", "json('$.status') == 'UP'"),
        ("[BODY].status != UP", "not json('$.status') == 'UP'"),
        ("[BODY].status == any(UP, OK)", "json('$.status') in ['UP', 'OK']"),
        ("[BODY].count == any(1, 2)", "json('$.count') in [1, '1', 2, '2']"),
        ("[BODY].items[0].name == pat(jo?n*)", "json('$.items[0].name') matches '(?s)^jo.n.*$'"),
        ("[BODY].items[0].age > 18", "json('$.items[0].age') > 18"),
        ("[BODY].ready == true", "json('$.ready') in [true, 'true']"),
        ("[BODY][0].id == 1", "json('$[0].id') in [1, '1']"),
        ("[BODY].last-backup == ok", r"json('$[\'last-backup\']') == 'ok'"),
        ("len([BODY].items) >= 3", "length(json('$.items')) >= 3"),
        ("len([BODY]) < 1000", "body.length < 1000"),
        ("has([BODY].error) == false", "not exists(json('$.error'))"),
        ("[IP] == 192.0.2.1", "address == '192.0.2.1'"),
    ],
)
def test_condition_of_gatus_is_translated(condition: str, translated: str) -> None:
    conditions: Any = gatus(condition).values["up_when"]
    assert conditions[-1] == translated
    compiled(translated)


@pytest.mark.parametrize(
    ("condition", "url", "reason"),
    [
        ("[BODY].a.sum() == 1", "https://x/", "is not a plain path"),
        ("[BODY].a > many", "https://x/", '"many" is not a number'),
        ("[STATUS] == ok", "https://x/", '"ok" is not a number'),
        ("[CONNECTED] == false", "https://x/", "write invert = true for a target that must not respond"),
        ("[STATUS] == 200", "tcp://x:1", "[STATUS] has no counterpart in type tcp"),
        ("[CONTEXT].id == 1", "https://x/", "[CONTEXT].id has no counterpart in type http"),
        ("[RESPONSE_TIME] < fast", "https://x/", '"fast" is not a duration'),
        ("nonsense", "https://x/", "is not a condition of Gatus"),
    ],
)
def test_monitor_without_a_translated_condition_is_not_active(condition: str, url: str, reason: str) -> None:
    assert reason in gatus(condition, url).disabled


def test_condition_that_always_holds_is_omitted() -> None:
    assert "up_when" not in gatus("[CONNECTED] == true", "tcp://x:1").values
    assert gatus("[RESPONSE_TIME] < 20000").values["up_when"] == ["status >= 100"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("${TOKEN}", {"env": "TOKEN"}), ("$TOKEN", {"env": "TOKEN"}), ("a$$b", "a$b"), ("plain", "plain")],
)
def test_environment_variable_of_gatus_becomes_a_secret(text: str, value: object) -> None:
    assert gatus("[STATUS] == 200", headers={"X-Token": text}).values["headers"] == {"X-Token": value}


def test_environment_variable_within_a_text_disables_the_monitor() -> None:
    section = gatus("[STATUS] == 200", headers={"X-Token": "Bearer ${TOKEN}"})
    assert section.disabled.startswith("headers.X-Token contains the environment variable ${TOKEN}")


@pytest.mark.parametrize(
    ("module", "target", "key", "value"),
    [
        ("{prober: http, http: {valid_status_codes: [401]}}", "x", "up_when", ["status == 401"]),
        ("{prober: http, http: {accept_any_response: true}}", "x", "up_when", ["status >= 100"]),
        ("{prober: http, http: {proxy_url: 'http://proxy:3128'}}", "x", "proxy", "http://proxy:3128"),
        ("{prober: http, http: {body_size_limit: 1MB}}", "x", "max_body_size", "1MiB"),
        ("{prober: http, http: {body_file: /a}}", "x", "body", {"file": "/a"}),
        ("{prober: http, http: {bearer_token_file: /a}}", "x", "bearer_token", {"file": "/a"}),
        ("{prober: http, http: {authorization: {credentials: abc}}}", "x", "bearer_token", "abc"),
        ("{prober: http, http: {no_follow_redirects: true}}", "x", "follow_redirects", False),
        ("{prober: http, http: {compression: gzip}}", "x", "headers", {"Accept-Encoding": "gzip"}),
        ("{prober: http, http: {tls_config: {insecure_skip_verify: true}}}", "https://x", "verify", False),
        ("{prober: http}", "www.example.org", "url", "http://www.example.org"),
        ("{prober: tcp}", "[2001:db8::1]:22", "address", "[2001:db8::1]:22"),
        ("{prober: icmp, icmp: {payload_size: 1400}}", "192.0.2.1", "payload", 1400),
        ("{prober: icmp, icmp: {ip_protocol_fallback: false}}", "x", "ip_family", 6),
        ("{prober: dns, dns: {query_name: a, transport_protocol: tcp}}", "192.0.2.1:54", "port", 54),
        ("{prober: dns, dns: {query_name: a, dns_over_tls: true}}", "192.0.2.1:853", "protocol", "tls"),
        ("{prober: dns, dns: {query_name: a, recursion_desired: false}}", "192.0.2.1", "recursion", False),
    ],
)
def test_option_of_blackbox_exporter_is_translated(module: str, target: str, key: str, value: object) -> None:
    prometheus = {
        "scrape_configs": [
            {"job_name": "j", "params": {"module": ["m"]}, "static_configs": [{"targets": [target]}]}
        ]
    }
    section = section_of("blackbox", f"modules: {{m: {module}}}", json.dumps(prometheus))
    assert section.values[key] == value
    assert not section.missing


def test_module_without_targets_is_reported() -> None:
    draft = Draft()
    FORMATS["blackbox"].translate([ImportSource(Path("b"), "modules: {m: {prober: http}}")], draft)
    assert [str(item) for item in draft.untranslated()] == [
        "module m: it has no targets; pass the configuration of Prometheus as well"
    ]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("failed port 80 protocol http", {"url": "http://h/"}),
        ("failed port 8080 protocol http request '/a b'", {"url": "http://h:8080/a b"}),
        ("failed port 443 with protocol https and status = 401", {"up_when": ["status == 401"]}),
        ('failed port 80 protocol http content != "error"', {"up_when": ["status < 400", "not body matches 'error'"]}),
        ("failed port 80 protocol http with hostheader 'www'", {"headers": {"Host": "www"}}),
        ("failed url http://www.example.org:8080/?a=b", {"url": "http://www.example.org:8080/?a=b"}),
        ("failed unixsocket /run/a.sock protocol http", {"url": "http+unix://%2Frun%2Fa.sock/"}),
        ("failed port 22 protocol ssh for 3 cycles", {"fail_after": 3, "dialogue": [{"expect": "^SSH-"}]}),
        ("failed host db port 5432", {"address": "db:5432"}),
        ("failed port 993 type tcpssl", {"address": "h:993", "tls": True}),
        ("failed port 993 using ssl with timeout 20 seconds", {"tls": True, "timeout": "20s"}),
        ("failed ping6 count 5", {"type": "icmp", "host": "h"}),
    ],
)  # fmt: skip
def test_port_test_of_monit_is_translated(test: str, expected: dict[str, object]) -> None:
    section = section_of("monit", f"check host a with address h\n  if {test} then alert\n")
    assert {key: section.values.get(key) for key in expected} == expected
    assert not section.missing
    assert not section.disabled


@pytest.mark.parametrize(
    ("start", "unit"),
    [
        ("/etc/init.d/nginx start", "nginx.service"),
        ("/usr/bin/systemctl start nginx", "nginx.service"),
        ("/bin/systemctl --no-block start getty@tty1.service", "getty@tty1.service"),
        ("/usr/sbin/service nginx start", "nginx.service"),
    ],
)
def test_process_of_monit_becomes_a_unit(start: str, unit: str) -> None:
    section = section_of("monit", f'check process a with pidfile /run/a.pid\n  start program = "{start}"\n')
    assert (section.values["unit"], section.disabled) == (unit, "")


@pytest.mark.parametrize(
    ("test", "condition"),
    [
        ("status != 0", "exit_status == 0"),
        ("status == 1", "exit_status != 1"),
        ("status > 2", "exit_status <= 2"),
        ("status not equal 0", None),
    ],
)
def test_status_of_a_program_of_monit_is_translated(test: str, condition: str | None) -> None:
    section = section_of("monit", f"check program a with path /bin/true\n  if {test} then alert\n")
    assert section.values.get("up_when") == (None if condition is None else [condition])


@pytest.mark.parametrize(
    ("test", "kind", "condition"),
    [
        ("loadavg (5min) > 3", "load", "load.avg5 <= 3"),
        ("loadavg(1min) per core > 1.5 for 3 cycles", "load", "load.avg1_per_cpu <= 1.5"),
        ("memory usage > 85%", "memory", "memory.available_percent >= 15"),
        ("memory > 85 %", "memory", "memory.available_percent >= 15"),
        ("swap usage > 25%", "memory", "memory.swap_used_percent <= 25"),
    ],
)
def test_system_test_of_monit_is_translated(test: str, kind: str, condition: str) -> None:
    section = section_of("monit", f"check system host\n  if {test} then alert\n")
    assert (section.values["type"], section.values["up_when"]) == (kind, [condition])


# Types that depend on the release: the daemon decides whether it has them.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://chat.example.org/socket", {"type": "websocket", "url": "wss://chat.example.org/socket"}),
        ("grpcs://api.example.org:443", {"type": "grpc", "address": "api.example.org:443", "tls": True}),
    ],
)
def test_url_of_gatus_selects_the_type(url: str, expected: dict[str, object]) -> None:
    values = gatus("[CONNECTED] == true", url).values
    assert {key: values.get(key) for key in expected} == expected


def test_grpc_module_of_blackbox_exporter_is_translated() -> None:
    module = "modules: {m: {prober: grpc, grpc: {tls: true, service: shop.Cart}}}"
    prometheus = (
        "scrape_configs: [{job_name: j, params: {module: [m]}, static_configs: [{targets: ['x:443']}]}]"
    )
    values = section_of("blackbox", module, prometheus).values
    assert {key: values[key] for key in ("type", "address", "service", "tls")} == {
        "type": "grpc", "address": "x:443", "service": "shop.Cart", "tls": True,
    }  # fmt: skip


def test_container_of_uptime_kuma_is_translated() -> None:
    assert kuma(type="docker", docker_container="web").values["container"] == "web"


def kuma(**values: object) -> DraftSection:
    monitor = {"id": 1, "name": "a", "type": "http", "url": "https://www.example.org/", **values}
    return section_of("uptime-kuma", json.dumps({"monitorList": [monitor]}))


@pytest.mark.parametrize(
    ("values", "key", "value"),
    [
        ({"accepted_statuscodes": ["200", "204"]}, "up_when", ["status in [200, 204]"]),
        ({"interval": 30, "maxretries": 2, "retryInterval": 90}, "retry_every", "30s"),
        ({"interval": 30}, "timeout", "24s"),
        ({"ignoreTls": True, "expiryNotification": True}, "verify", False),
        (
            {"type": "keyword", "keyword": "x", "invertKeyword": True, "accepted_statuscodes": ["200"]},
            "up_when",
            ["status == 200", "not body contains 'x'"],
        ),
        (
            {"type": "json-query", "jsonPath": "a", "jsonPathOperator": "contains", "expectedValue": "x.y"},
            "up_when",
            ["status >= 200 and status < 300", r"json('$.a') matches 'x\.y'"],
        ),
        ({"body": "<a/>", "httpBodyEncoding": "xml"}, "headers", {"Content-Type": "application/xml"}),
        ({"type": "port", "hostname": "db", "port": 5432}, "address", "db:5432"),
        ({"ipFamily": "ipv6"}, "ip_family", 6),
    ],
)  # fmt: skip
def test_option_of_uptime_kuma_is_translated(values: dict[str, object], key: str, value: object) -> None:
    section = kuma(**values)
    assert section.values[key] == value
    assert not section.disabled


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"authMethod": "oauth2-cc"}, "monitord has no authentication with oauth2-cc"),
        ({"proxyId": 7}, "its proxy is not in the file"),
        ({"active": 0}, "it is paused in Uptime Kuma"),
        ({"type": "steam"}, "monitord has no counterpart of type steam"),
    ],
)
def test_monitor_of_uptime_kuma_that_cannot_work_is_not_active(
    values: dict[str, object], reason: str
) -> None:
    assert kuma(**values).disabled == reason


@pytest.mark.parametrize(
    ("interval", "check_every"), [("5", "5m"), ("300", "5m"), ("60", "1h"), ("", "5m"), ("x", "5m")]
)
def test_interval_of_uptimerobot_is_translated(interval: str, check_every: str) -> None:
    section = section_of("uptimerobot", f"Friendly Name;URL/IP;Interval\na;http://x/;{interval}\n")
    assert section.values["check_every"] == check_every


# Text


@given(st.text())
def test_any_text_is_unchanged_in_toml(text: str) -> None:
    assert tomli.loads("\n".join(assignment(text, [text, {text: text}]))) == {text: [text, {text: text}]}


def test_unpaired_surrogate_is_replaced() -> None:
    assert tomli.loads("\n".join(assignment("a", "\ud800b"))) == {"a": "\ufffdb"}


@example("\\\x1f")
@example("\\d\\")
@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=200))
def test_any_text_is_unchanged_in_a_condition(text: str) -> None:
    assert compiled(f"body == {literal(text)}").evaluate(lambda _: text).holds


@given(st.text())
def test_any_text_is_a_comment_of_one_line(text: str) -> None:
    assert tomli.loads(comment(text)) == {}


@given(st.lists(st.text(), max_size=20))
def test_names_are_valid_and_unique(titles: list[str]) -> None:
    draft = Draft()
    names = [draft.monitor(title).name for title in titles]
    assert len(set(names)) == len(titles)
    assert all(name_of(name) == name for name in names)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Blog (new)", "blog-new"),
        ("www.example.org", "www.example.org"),
        ("Größe", "groe"),
        ("Überwachung", "uberwachung"),
        ("-a-", "a"),
        ("监控", ""),
    ],
)
def test_title_becomes_a_valid_name(title: str, name: str) -> None:
    assert name_of(title) == name


def test_addresses_in_names_have_neither_credentials_nor_query() -> None:
    assert without_credentials("https://kim:pw@www.example.org/a?token=b") == "https://www.example.org/a"
    assert without_credentials("kim@home") == "kim@home"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25), ("0", 0), ("2w", 1_209_600)]
)
def test_duration_of_go_is_parsed(text: str, seconds: float) -> None:
    assert go_duration(text, "interval") == seconds


@pytest.mark.parametrize("text", ["", "5", "often", "1h x", "-1s", "s"])
def test_invalid_duration_of_go_is_rejected(text: str) -> None:
    with pytest.raises(FieldError, match=r"interval: .* is not a duration"):
        go_duration(text, "interval")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", "$"),
        ("", "$"),
        ("a.b[0]", "$.a.b[0]"),
        ("$.a-b", "$['a-b']"),
        ("[0].a", "$[0].a"),
        ("a[*]", None),
        ("$sum(a)", None),
        ("a[b=1]", None),
    ],
)
def test_json_path_is_translated(text: str, path: str | None) -> None:
    assert json_path(text) == path


@pytest.mark.parametrize(
    ("ranges", "condition"),
    [
        ([(200, 299)], "status >= 200 and status < 300"),
        ([(200, 200)], "status == 200"),
        ([(200, 200), (204, 204)], "status in [200, 204]"),
        ([(200, 299), (304, 304)], "(status >= 200 and status < 300) or status == 304"),
    ],
)
def test_status_ranges_become_a_condition(ranges: list[tuple[int, int]], condition: str) -> None:
    assert status_condition(ranges) == condition
    compiled(condition)


def test_glob_matches_the_whole_text() -> None:
    assert glob_pattern("a.b*") == r"(?s)^a\.b.*$"
