import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.conditions import ConditionError, JsonPath, Unresolved, parse_json_path
from tests.conditions.vocabulary import diagnostic_of

DOCUMENT = json.loads(
    """{"a": {"b": [{"c": 1}, 2, null]}, "it's": {"x y": true, "\\\\": "back"}, "größe": 3, "0": "zero", "": "none"}"""
)

STEPS = st.lists(st.text(max_size=6) | st.integers(-99, 99), max_size=6)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0].c", 1),
        ("$['a'][\"b\"][0]['c']", 1),
        ("$.a.b[-2]", 2),
        ("$.a.b[2]", None),
        (r"$['it\'s']['x y']", True),
        ('$["it\'s"]["x y"]', True),
        (r"$['it\'s']['\\']", "back"),
        ("$.größe", 3),
        ("$['0']", "zero"),
        ("$['']", "none"),
    ],
)
def test_path_selects_its_value(path: str, value: object) -> None:
    assert parse_json_path(path).find(DOCUMENT) == value


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("$.x", "no value at $.x"),
        ("$.a.x.y", "no value at $.a.x"),
        ("$.a.b[3]", "no value at $.a.b[3]"),
        ("$.a.b[-4]", "no value at $.a.b[-4]"),
        ("$[0]", "no value at $[0]"),
        ("$.a.b.c", "no value at $.a.b.c"),
        ("$.größe.x", "no value at $.größe.x"),
        ("$.a.b[2].x", "no value at $.a.b[2].x"),
    ],
)
def test_unresolved_path_shows_where_it_ends(path: str, why: str) -> None:
    assert parse_json_path(path).find(DOCUMENT) == Unresolved(why)


@pytest.mark.parametrize(
    ("path", "column", "problem"),
    [
        ("", 1, "a JSON path begins with $"),
        ("a.b", 1, "a JSON path begins with $"),
        ("$a", 2, "the JSON path cannot continue with a"),
        ("$.", 2, "the JSON path cannot continue with ."),
        ("$.a..b", 4, "the JSON path cannot continue with ..b"),
        ("$.a[*]", 4, "the JSON path cannot continue with [*]"),
        ("$.a[1:2]", 4, "the JSON path cannot continue with [1:2]"),
        ("$.1", 2, "the JSON path cannot continue with .1"),
        ("$['a", 2, "the JSON path cannot continue with ['a"),
        ("$[1234567890]", 2, "the JSON path cannot continue with [1234567890]"),
        ("$" + ".a" * 33, 66, "the JSON path has more than 32 steps"),
    ],
)
def test_invalid_path_is_rejected_with_its_column(path: str, column: int, problem: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_json_path(path)
    assert (caught.value.column, caught.value.message) == (column, problem)


@given(STEPS)
def test_text_of_a_path_is_parsed_to_an_equal_path(steps: list[str | int]) -> None:
    path = JsonPath(tuple(steps))
    assert parse_json_path(str(path)) == path


@given(st.text(max_size=30) | st.text(st.sampled_from("$.[]'\"\\ab01-"), max_size=20))
def test_parser_raises_only_condition_errors(text: str) -> None:
    error = diagnostic_of(parse_json_path, text)
    if error is None:
        path = parse_json_path(text)
        assert parse_json_path(str(path)) == path
    else:
        assert 1 <= error.column <= len(text) + 1
