import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.conditions import (
    Condition,
    ConditionError,
    ConditionResult,
    FieldType,
    Reference,
    Unresolved,
    Vocabulary,
    parse_condition,
)
from monitord.conditions.condition import MAX_CONDITION_CHARACTERS, MAX_RESULT_CHARACTERS
from tests.conditions.strategies import CONDITIONS, NEAR_CONDITIONS, VALUES
from tests.conditions.vocabulary import WEB, compiled, diagnostic_of


def outcome(condition: Condition | str, **fields: object) -> ConditionResult:
    """Facts by name, with __ for a dot; those not given are not there."""
    if isinstance(condition, str):
        condition = compiled(condition)
    return condition.evaluate(lambda field: fields.get(field.name.replace(".", "__")))


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("status == 200", {"status"}),
        ("status == 200 and status < 300", {"status"}),
        (
            "not (json('$.a') == 1 or header('X') == 'y') and body.length > 0",
            {"json", "header", "body.length"},
        ),
    ],
)
def test_condition_names_the_fields_that_it_reads(text: str, needs: set[str]) -> None:
    assert compiled(text).needs == needs


def test_lookup_receives_the_parsed_argument() -> None:
    asked: list[Reference] = []

    def lookup(field: Reference) -> object:
        asked.append(field)
        return "x"

    compiled("header('Content-Type') == 'x' and perfdata('load1') > 1").evaluate(lookup)
    assert asked == [Reference("header", "content-type"), Reference("perfdata", "load1")]


@pytest.mark.parametrize(
    ("text", "holds", "unresolved"),
    [
        ("body == 'x'", False, True),
        ("body != 'x'", False, True),
        ("not body == 'x'", False, True),
        ("not not body == 'x'", False, True),
        ("not (body == 'x' and status == 200)", False, True),
        ("not (body == 'x' and status == 500)", True, False),
        ("body == 'x' and status == 200", False, True),
        ("status == 200 and body == 'x'", False, True),
        ("body == 'x' and status == 500", False, False),
        ("status == 500 and body == 'x'", False, False),
        ("body == 'x' or status == 200", True, False),
        ("status == 200 or body == 'x'", True, False),
        ("body == 'x' or status == 500", False, True),
        ("not (body == 'x' or status == 200)", False, False),
        ("not (body == 'x' or status == 500)", False, True),
        ("status == 200 and not body.length == 0", False, True),
        ("status == 200 and status < 300", True, False),
        ("status == 200 or status == 500 and status == 501", True, False),
        ("not status == 500 and status == 200", True, False),
        ("not (status == 500 or status == 200)", False, False),
    ],
)
def test_missing_value_makes_no_condition_true(text: str, *, holds: bool, unresolved: bool) -> None:
    seen = outcome(text, status=200)
    assert (seen.holds, seen.unresolved) == (holds, unresolved)


@pytest.mark.parametrize("word", ["and", "or"])
@pytest.mark.parametrize("left", [True, False, None])
@pytest.mark.parametrize("right", [True, False, None])
def test_and_and_or_are_commutative(word: str, left: bool | None, right: bool | None) -> None:
    vocabulary = Vocabulary({"a": FieldType.FLAG, "b": FieldType.FLAG})
    values = {"a": left, "b": right}
    first, second = (
        parse_condition(text, vocabulary).evaluate(lambda field: values[field.name])
        for text in (f"a == true {word} b == true", f"b == true {word} a == true")
    )
    assert (first.holds, first.unresolved) == (second.holds, second.unresolved)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("status == 200", "status == 200 (actual: 503)"),
        (
            "not (status == 200 or response_time < 5)",
            "not (status == 200 (actual: 503) or response_time < 5 (actual: 300.04ms))",
        ),
        (
            "body == 'x' and status == 200",
            "body == 'x' (unresolved: no value) and status == 200 (actual: 503)",
        ),
        ("json('$.a') == 1", "json('$.a') == 1 (unresolved: the body is not JSON)"),
    ],
)
def test_outcome_shows_every_value(text: str, shown: str) -> None:
    fields: dict[str, object] = {"json": Unresolved("the body is not JSON"), "response_time": 0.30004}
    assert outcome(text, status=503, **fields).text == shown


def test_outcome_is_shortened() -> None:
    text = " and ".join(["body == 'x'"] * 50)
    seen = outcome(text, body="\x00" * 100_000)
    assert len(seen.text) == MAX_RESULT_CHARACTERS
    assert len(outcome("body == 'x'", body="y" * 100_000).text) < 100
    assert len(outcome("json('$') == 1", json=Unresolved("y" * 100_000)).text) < 200


def test_conditions_with_equal_text_and_vocabulary_are_equal() -> None:
    condition = compiled("(status==200)  and response_time < 1000ms")
    same = compiled("status == 200.0 and (response_time < 1s)")
    other_fields = Vocabulary({**WEB.fields, "more": FieldType.TEXT})
    assert condition == same
    assert hash(condition) == hash(same)
    assert condition != compiled("status == 200 and response_time < 2s")
    assert condition != parse_condition(condition.text, other_fields)
    assert parse_condition("status == 1", Vocabulary(dict(WEB.fields))) == compiled("status == 1")


def test_condition_above_the_length_limit_is_rejected_and_at_the_limit_accepted() -> None:
    room = MAX_CONDITION_CHARACTERS - len("body == ''")
    assert compiled(f"body == '{'x' * room}'").text.endswith("x'")
    with pytest.raises(
        ConditionError, match=r"^at column 2001: the condition is longer than 2000 characters"
    ):
        compiled(f"body == '{'x' * (room + 1)}'")


def test_condition_whose_canonical_text_is_too_long_is_rejected() -> None:
    """Otherwise its text could not be compiled again."""
    with pytest.raises(ConditionError, match="longer than 2000"):
        compiled("body == '" + "\x01" * 1000 + "'")


@given(CONDITIONS)
def test_canonical_text_is_parsed_to_an_equal_condition(text: str) -> None:
    condition = compiled(text)
    again = compiled(condition.text)
    assert again.tree == condition.tree
    assert again.text == condition.text
    assert again == condition


@given(st.text(max_size=60) | NEAR_CONDITIONS)
def test_compiler_raises_only_condition_errors(text: str) -> None:
    error = diagnostic_of(compiled, text)
    if error is None:
        assert compiled(compiled(text).text) == compiled(text)
    else:
        assert 1 <= error.column <= len(text) + 1
        assert error.problem
        assert len(str(error)) < 2000


@given(CONDITIONS, VALUES)
def test_evaluation_never_raises(text: str, value: object) -> None:
    seen = compiled(text).evaluate(lambda _: value)
    assert not (seen.holds and seen.unresolved)
    assert len(seen.text) <= MAX_RESULT_CHARACTERS
    assert "\n" not in seen.text


@given(CONDITIONS)
def test_no_condition_holds_without_values(text: str) -> None:
    seen = compiled(text).evaluate(lambda _: Unresolved())
    assert not seen.holds
    assert seen.unresolved


@given(CONDITIONS, st.dictionaries(st.sampled_from(sorted(WEB.fields)), VALUES))
def test_condition_and_its_negation_never_both_hold(text: str, values: dict[str, object]) -> None:
    result = compiled(text).evaluate(lambda field: values.get(field.name))
    opposite = compiled(f"not ({text})").evaluate(lambda field: values.get(field.name))
    assert result.unresolved == opposite.unresolved
    assert result.unresolved or result.holds is not opposite.holds
