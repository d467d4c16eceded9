import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.conditions.lexer import tokens
from monitord.conditions.tree import Kind, Literal, comparisons, quoted
from tests.conditions.strategies import TEXTS
from tests.conditions.vocabulary import compiled


@given(TEXTS | st.text(st.sampled_from("\\'\"ntruUd\n\x00é"), max_size=8))
def test_quoted_text_is_one_line_and_parsed_to_the_same_text(text: str) -> None:
    token, end = tokens(quoted(text))
    assert token.value == text
    assert end.written == ""
    assert quoted(text).isprintable()


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (Literal(Kind.NUMBER, 1e-7), "0.0000001"),
        (Literal(Kind.NUMBER, 10**25), "1" + "0" * 25),
        (Literal(Kind.DURATION, 0.0), "0s"),
        (Literal(Kind.DURATION, -5400.0), "-1h30m"),
        (Literal(Kind.DURATION, 1e-7), "0.0000001s"),
        (Literal(Kind.SIZE, 0), "0B"),
        (Literal(Kind.FLAG, False), "false"),
        (Literal(Kind.NULL, 0), "null"),
        (Literal(Kind.LIST, ()), "[]"),
        (Literal(Kind.LIST, (Literal(Kind.NUMBER, 1), Literal(Kind.TEXT, "a"))), "[1, 'a']"),
    ],
)
def test_text_of_a_literal_is_valid_in_a_condition(literal: Literal, text: str) -> None:
    assert str(literal) == text


def test_comparisons_are_yielded_in_reading_order() -> None:
    tree = compiled("not (status == 1 or exists(body)) and length(body) == 2 and not status == 3").tree
    assert [str(comparison) for comparison in comparisons(tree)] == [
        "status == 1",
        "exists(body)",
        "length(body) == 2",
        "status == 3",
    ]
