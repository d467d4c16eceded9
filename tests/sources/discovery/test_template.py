"""Placeholders in the texts of a monitor."""

from typing import Any

import pytest

from monitord.errors import InvalidValueError
from monitord.sources.discovery.targets import values_of
from monitord.sources.discovery.template import check_placeholders, rendered_monitor

LABELS = {
    "env": "prod",
    "empty": "",
    "path": "{host}",
    "option": "-rf",
    "evil": "a; rm -rf / $(x) `y`",
    "line": "a\nb",
}
VALUES = values_of("web.example.org:8080", LABELS)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("https://{address}/{labels.env}", "https://web.example.org:8080/prod"),
        ("{host} {port} {__address__}", "web.example.org 8080 web.example.org:8080"),
        ("{{host}}", "{host}"),
        ("{labels.path}", "{host}"),
        ("a{2,3} {} { host } {'a': 1}", "a{2,3} {} { host } {'a': 1}"),
        (["{host}", 1, True], ["web.example.org", 1, True]),
        ({"X-Env": "{labels.env}", "{host}": "x"}, {"X-Env": "prod", "{host}": "x"}),
        (5, 5),
    ],
)
def test_placeholders_are_replaced(value: Any, result: Any) -> None:
    assert rendered_monitor({"key": value}, VALUES) == {"key": result}


def test_tags_without_their_label_are_omitted() -> None:
    tags = ["fixed", "env:{labels.env}", "{labels.none}", "{labels.empty}"]
    assert rendered_monitor({"tags": tags}, VALUES) == {"tags": ["fixed", "env:prod"]}


def test_value_is_one_argument_of_a_command() -> None:
    command = ["check", "-H", "{labels.evil}", "--env={labels.option}"]
    assert rendered_monitor({"command": command}, VALUES) == {
        "command": ["check", "-H", LABELS["evil"], "--env=-rf"]
    }


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ({"url": "{labels.none}"}, "the target has no label none"),
        ({"url": "{labels.line}"}, "labels.line contains a control character"),
        ({"command": ["check", "{labels.option}"]}, 'labels.option begins with "-"'),
    ],
)
def test_value_that_cannot_be_used_is_an_error(template: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem):
        rendered_monitor(template, VALUES)


def test_address_without_a_port_has_no_port() -> None:
    with pytest.raises(InvalidValueError, match="the address has no port"):
        rendered_monitor({"address": "{host}:{port}"}, values_of("web.example.org", {}))


@pytest.mark.parametrize(
    "value",
    [
        {"file": "/run/secrets/{labels.name}"},
        {"credential": "{host}"},
        {"env": "{labels.a}"},
        {"X-Token": {"file": "{host}"}},
        [{"text": {"file": "{host}"}}],
    ],
)
def test_source_of_a_secret_cannot_have_a_placeholder(value: object) -> None:
    with pytest.raises(InvalidValueError, match="placeholder in the source of a secret"):
        check_placeholders(value)


def test_secret_without_a_placeholder_is_accepted() -> None:
    check_placeholders({"X-Token": {"file": "/run/secrets/{{literal}}"}, "X-Host": "{host}"})


@pytest.mark.parametrize("value", ["{adress}", ["{hst}"], {"a": "{label.x}"}])
def test_unknown_placeholder_is_an_error(value: object) -> None:
    with pytest.raises(InvalidValueError, match="unknown placeholder"):
        check_placeholders(value)
