"""The statements in docs/conditions.md are true."""

import re
from pathlib import Path

import pytest

import monitord
from monitord.conditions import ConditionError, parse_condition, parse_json_path
from monitord.conditions.condition import MAX_CONDITION_CHARACTERS
from monitord.conditions.json_path import MAX_STEPS
from monitord.conditions.parser import MAX_COMPARISONS, MAX_DEPTH, MAX_LIST_ITEMS
from monitord.conditions.pattern.matcher import MAX_SEARCHED_CHARACTERS, MAX_STATES
from monitord.conditions.pattern.syntax import MAX_REPEATS
from monitord.monitors.http.response import VOCABULARY as HTTP
from tests.conditions.vocabulary import compiled, compiled_for_a_type

TEXT = (Path(monitord.__file__).parent.parent / "docs" / "conditions.md").read_text()
EXAMPLES = [
    line for block in re.findall(r"```conditions\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
]
TOML_EXAMPLES = re.findall(r'"((?:status|json|response_time|certificate)[^"]*)"', TEXT)
SEEN = re.findall(r"^\| `(.+)` \| `(.+\(.+\))` \|$", TEXT, re.MULTILINE)
FAILURES = re.findall(r"^\| `(.+)` \| (at column .+) \|$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES + TOML_EXAMPLES)
def test_documented_examples_compile(example: str) -> None:
    condition = compiled_for_a_type(example)
    assert compiled_for_a_type(condition.text) == condition


@pytest.mark.parametrize(("condition", "shown"), SEEN)
def test_outcomes_are_as_documented(condition: str, shown: str) -> None:
    fields = {
        "status": 503,
        "response_time": 0.30004,
        "body": "<html>",
        "json": parse_json_path("$.status").find({}),
    }
    assert compiled(condition).evaluate(lambda field: fields[field.name]).text == shown


@pytest.mark.parametrize(("condition", "message"), FAILURES)
def test_diagnostics_are_as_documented(condition: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(condition, HTTP)
    assert str(caught.value) == message


def test_page_has_examples_of_every_kind() -> None:
    assert (len(EXAMPLES), len(TOML_EXAMPLES), len(SEEN), len(FAILURES)) == (22, 4, 5, 18)


@pytest.mark.parametrize(
    "sentence",
    [
        f"at most {MAX_LIST_ITEMS}",
        f"At most {MAX_STEPS} steps",
        f"at most {MAX_REPEATS}",
        f"first {MAX_SEARCHED_CHARACTERS:,} characters",
        f"at most {MAX_STATES} parts",
        f"at most {MAX_CONDITION_CHARACTERS} characters, {MAX_COMPARISONS} comparisons, and {MAX_DEPTH} levels",
    ],
)
def test_page_states_the_actual_limits(sentence: str) -> None:
    assert sentence in TEXT
