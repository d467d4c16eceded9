"""Groups of targets, their names and their selection."""

import json

import pytest

from monitord.errors import InvalidValueError
from monitord.sources.discovery import targets as module
from monitord.sources.discovery.targets import (
    DiscoveredTarget,
    TargetRules,
    named_targets,
    parse_groups,
    values_of,
)

GROUPS = """
[ {"targets": ["10.0.0.1:80", "b.example.org:81"], "labels": {"env": "prod", "shard": 7}},
  {"targets": []}, {"targets": ["https://c.example.org/x"]} ]
"""


def test_groups_of_prometheus_are_read() -> None:
    assert list(parse_groups(GROUPS)) == [
        DiscoveredTarget("10.0.0.1:80", {"env": "prod", "shard": "7"}),
        DiscoveredTarget("b.example.org:81", {"env": "prod", "shard": "7"}),
        DiscoveredTarget("https://c.example.org/x", {}),
    ]
    assert list(parse_groups(" [] ")) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a JSON list"),
        ("{}", "is not a JSON list"),
        (GROUPS[:-30], "is not valid JSON"),
        (GROUPS[:60], "is not valid JSON"),
        ("[", "is not valid JSON"),
        ("[1]", "not a group of targets"),
        ('[{"targets": "x"}]', "not a group of targets"),
        ('[{"targets": [1]}]', "a target that is not text"),
        ("[] []", "text after the list"),
        ('[{"targets": []} {"targets": []}]', "the list does not end"),
        ('[{"targets": []}', "the list does not end"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_other_text_is_rejected(text: str, problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem):
        list(parse_groups(text))


def test_number_of_targets_is_limited() -> None:
    text = json.dumps([{"targets": ["a"] * (module.MAX_TARGETS + 1)}])
    with pytest.raises(InvalidValueError, match="has more than 100000 targets"):
        list(parse_groups(text))


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([], "its labels are not an object with at most 64 labels"),
        ({f"l{number}": "" for number in range(100)}, "its labels are not an object with at most 64 labels"),
        ({"a b": "x"}, "the name of a label is invalid"),
        ({"a": {}}, "its label a is not text"),
        ({"a": "x" * (1 << 20)}, "its label a has more than 4096 characters"),
    ],
)
def test_target_with_unusable_labels_has_a_problem(labels: object, problem: str) -> None:
    (found,) = parse_groups(json.dumps([{"targets": ["a:1"], "labels": labels}]))
    assert found == DiscoveredTarget("a:1", {}, problem)


def test_target_with_a_long_address_has_a_problem() -> None:
    (found,) = parse_groups(json.dumps([{"targets": ["x" * 5000]}]))
    assert found.problem == "its address has more than 2048 characters"


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.1:80", "10.0.0.1", "80"),
        ("[2001:db8::1]:80", "2001:db8::1", "80"),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("web.example.org", "web.example.org", None),
        ("https://web.example.org/", None, None),
        ("2001:db8::1", None, None),
        ("user@web:80", None, None),
        ("-o:80", None, None),
        ("a b:80", None, None),
        ("", None, None),
    ],
)
def test_host_and_port_are_those_of_the_address(address: str, host: str | None, port: str | None) -> None:
    values = values_of(address, {})
    assert (values.get("address"), values.get("host"), values.get("port")) == (address, host, port)


def test_labels_of_discovery_have_a_short_form() -> None:
    values = values_of("a:1", {"env": "x", "__meta_y": "z"})
    assert (values["labels.env"], values["labels.__meta_y"], values["__meta_y"]) == ("x", "z", "z")
    assert "env" not in values


def named(
    *found: DiscoveredTarget, name: str = "{address}", **rules: tuple[tuple[str, str], ...]
) -> dict[str, object]:
    targets = named_targets(found, TargetRules(name, **rules))
    return {target: data.get("problem", data.get("address")) for target, data in targets.items()}


def test_targets_are_selected_by_labels() -> None:
    prod, dev = (
        DiscoveredTarget("a:1", {"env": "prod", "job": "web"}),
        DiscoveredTarget("b:1", {"env": "dev"}),
    )
    assert list(named(prod, dev)) == ["a:1", "b:1"]
    assert list(named(prod, dev, keep=(("env", "pr*"),))) == ["a:1"]
    assert list(named(prod, dev, keep=(("env", "*"), ("job", "web")))) == ["a:1"]
    assert list(named(prod, dev, drop=(("env", "prod"), ("env", "x")))) == ["b:1"]
    assert list(named(prod, dev, keep=(("job", ""),))) == ["b:1"]
    assert list(named(prod, dev, keep=(("__address__", "b:*"),))) == ["b:1"]


def test_characters_that_names_cannot_have_are_replaced() -> None:
    found = DiscoveredTarget("[::1]:9", {"n": "a b*\"'"})
    assert named(found, name="{address}/{labels.n}") == {"::1:9/a_b___": "[::1]:9"}


def test_targets_with_the_same_name_are_reported_once_and_equal_ones_are_one() -> None:
    first, same, other = (
        DiscoveredTarget("a:1", {"n": "x"}),
        DiscoveredTarget("a:1", {"n": "x"}),
        DiscoveredTarget("a:2", {"n": "x"}),
    )
    assert named(first, same, other, name="{labels.n}") == {
        "x": "a:1",
        "x#2": "another target has the same name; make name different for each target",
    }


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31m", "\u202e", "a\0"])
def test_invisible_characters_are_not_part_of_names(value: str) -> None:
    assert named(DiscoveredTarget("a:1", {"n": value}), name="{labels.n}") == {
        "a:1": "name: labels.n contains a control character or an invisible character"
    }


def test_target_without_the_label_of_its_name_is_reported() -> None:
    assert named(DiscoveredTarget("a:1", {}), name="{labels.n}") == {"a:1": "name: the target has no label n"}


def test_unusable_target_does_not_replace_another_one_with_the_same_address() -> None:
    good, bad = (
        DiscoveredTarget("a:1", {"env": "prod"}),
        DiscoveredTarget("a:1", {}, "its label env is not text"),
    )
    data = {"address": "a:1", "labels": {"env": "prod"}}
    for found in ([good, bad], [bad, good]):
        targets = named_targets(found, TargetRules("{address}"))
        assert targets["a:1"] == data
        assert {"problem": "its label env is not text"} in targets.values()
