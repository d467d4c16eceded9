"""Every type of fact with every operator and every kind of value: what the table says, and nothing else, compiles."""

import pytest

from monitord.conditions import ConditionError, FieldType, Vocabulary, parse_condition
from monitord.conditions.rules import KINDS, OPERATORS
from monitord.conditions.tree import Operator

VALUES = {
    "number": "5",
    "duration": "5m",
    "size": "5KiB",
    "text": "'x'",
    "flag": "true",
    "numbers": "[5]",
    "durations": "[5m]",
    "sizes": "[5KiB]",
    "texts": "['x']",
    "flags": "[true]",
    "mixed": "[5, 'x']",
}
EQUALITY = ("==", "!=")
ORDER = ("<", "<=", ">", ">=")
SINGLE = {"number", "duration", "size", "text", "flag"}
LISTS = {"numbers", "durations", "sizes", "texts", "flags", "mixed"}

ALLOWED: dict[FieldType, dict[tuple[str, ...], set[str]]] = {
    FieldType.NUMBER: {EQUALITY + ORDER: {"number"}, ("in",): {"numbers"}},
    FieldType.DURATION: {EQUALITY + ORDER: {"duration", "number"}, ("in",): {"durations", "numbers"}},
    FieldType.SIZE: {EQUALITY + ORDER: {"size", "number"}, ("in",): {"sizes", "numbers"}},
    FieldType.TEXT: {(*EQUALITY, "contains", "matches"): {"text"}, ("in",): {"texts"}},
    FieldType.FLAG: {EQUALITY: {"flag"}},
    FieldType.TEXTS: {EQUALITY: {"texts"}, ("contains", "matches"): {"text"}},
    FieldType.ANY: {
        EQUALITY: SINGLE | LISTS,
        ORDER: {"number", "duration", "size"},
        ("contains",): SINGLE,
        ("matches",): {"text"},
        ("in",): LISTS,
    },
}


@pytest.mark.parametrize("fact_type", FieldType, ids=lambda fact_type: fact_type.name)
@pytest.mark.parametrize("operator", [operator.value for operator in Operator])
def test_each_field_type_accepts_only_its_operators_and_values(fact_type: FieldType, operator: str) -> None:
    vocabulary = Vocabulary({"fact": fact_type})
    taken = set()
    for kind, value in VALUES.items():
        try:
            parse_condition(f"fact {operator} {value}", vocabulary)
            taken.add(kind)
        except ConditionError:
            pass
    assert taken == {
        kind for operators, kinds in ALLOWED[fact_type].items() if operator in operators for kind in kinds
    }


def test_every_type_has_its_rules() -> None:
    assert set(OPERATORS) == set(KINDS) == set(FieldType)


@pytest.mark.parametrize(
    ("fact_type", "text", "message"),
    [
        (FieldType.NUMBER, "fact contains 5",
         "at column 6: contains cannot be used with fact, which is a number; write ==, !=, <, <=, >, >= or in"),
        (FieldType.TEXT, "fact < 'x'",
         "at column 6: < cannot be used with fact, which is a string; write ==, !=, contains, matches or in"),
        (FieldType.FLAG, "fact in [true]",
         "at column 6: in cannot be used with fact, which is true or false; write == or !="),
        (FieldType.DURATION, "fact < 5MiB", "at column 8: 5MiB is a size, and fact is a duration; write 300ms"),
        (FieldType.DURATION, "fact < '5s'",
         "at column 8: '5s' is text, and fact is a duration; write 300ms without quotes"),
        (FieldType.NUMBER, "fact == true", "at column 9: true is true or false, and fact is a number; write 200"),
        (FieldType.NUMBER, "fact in [1, 'x', 2]",
         "at column 13: 'x' is text, and fact is a number; write 200 without quotes"),
        (FieldType.NUMBER, "fact in 5", "at column 9: in needs a list; write [5]"),
        (FieldType.NUMBER, "fact in 5, 6 and fact > 1", "at column 9: in needs a list; write [5, 6]"),
        (FieldType.NUMBER, "fact == [5]",
         "at column 9: == takes one value, not a list; use in to accept one of several values"),
        (FieldType.NUMBER, "fact != [ 5]",
         "at column 9: != takes one value, not a list; use not … in to exclude several values"),
        (FieldType.TEXT, "fact contains ['a', 'b']",
         "at column 15: contains takes one value, not a list; combine several comparisons with and, or"),
        (FieldType.TEXT, "fact == 5", "at column 9: 5 is a number, and fact is a string; write '5'"),
        (FieldType.TEXTS, "fact == 'x'", "at column 9: == needs a list; write ['x']"),
        (FieldType.ANY, "fact < 'x'",
         "at column 8: 'x' is text, which < cannot take; write a number, a duration or a size"),
        (FieldType.ANY, "fact matches 5", "at column 14: 5 is a number, which matches cannot take; write '…'"),
    ],
)  # fmt: skip
def test_type_mismatch_names_the_type_of_the_field_and_a_hint(
    fact_type: FieldType, text: str, message: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text, Vocabulary({"fact": fact_type}))
    assert str(caught.value) == message
