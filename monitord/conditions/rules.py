"""Operators of each field type and the values that they accept. Conditions are checked against this table:

| field           | == !=            | < <= > >=              | contains       | matches | in             |
|-----------------|------------------|------------------------|----------------|---------|----------------|
| number          | number           | number                 |                |         | numbers        |
| duration        | duration, number | duration, number       |                |         | these, mixed   |
| size            | size, number     | size, number           |                |         | these, mixed   |
| string          | string           |                        | string         | string  | strings        |
| true or false   | true or false    |                        |                |         |                |
| list of strings | list of strings  |                        | string         | string  |                |
| any             | anything         | number, duration, size | all but a list | string  | all but a list |

A number without a unit means seconds for a duration and bytes for a size; implausible numbers are rejected
(`check_bounds`).
"""

import math
import re
from collections.abc import Sequence

from monitord.conditions.errors import ConditionError
from monitord.conditions.tree import Kind, Literal, Operator
from monitord.conditions.vocabulary import Bounds, FieldFunction, FieldType, Vocabulary
from monitord.text import did_you_mean, joined, shortened

MAX_NAMED_FIELDS = 40

_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)

_EQUALITY = (Operator.EQUAL, Operator.NOT_EQUAL)
_ORDER = (Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST)

OPERATORS = {
    FieldType.NUMBER: (*_EQUALITY, *_ORDER, Operator.IN),
    FieldType.DURATION: (*_EQUALITY, *_ORDER, Operator.IN),
    FieldType.SIZE: (*_EQUALITY, *_ORDER, Operator.IN),
    FieldType.TEXT: (*_EQUALITY, Operator.CONTAINS, Operator.MATCHES, Operator.IN),
    FieldType.FLAG: _EQUALITY,
    FieldType.TEXTS: (*_EQUALITY, Operator.CONTAINS, Operator.MATCHES),
    FieldType.ANY: tuple(Operator),
}

_KIND_OF = {FieldType.DURATION: Kind.DURATION, FieldType.SIZE: Kind.SIZE}

_NUMERIC = frozenset({Kind.NUMBER, Kind.DURATION, Kind.SIZE})

# Kinds of values with which a field, or each of its items, can be compared.
KINDS = {
    FieldType.NUMBER: frozenset({Kind.NUMBER}),
    FieldType.DURATION: frozenset({Kind.DURATION, Kind.NUMBER}),
    FieldType.SIZE: frozenset({Kind.SIZE, Kind.NUMBER}),
    FieldType.TEXT: frozenset({Kind.TEXT}),
    FieldType.FLAG: frozenset({Kind.FLAG}),
    FieldType.TEXTS: frozenset({Kind.TEXT}),
    FieldType.ANY: _NUMERIC | {Kind.TEXT, Kind.FLAG, Kind.NULL},
}

# Names of these functions in other languages.
_FOREIGN_FUNCTIONS = {
    **dict.fromkeys(("len", "count", "size", "strlen"), "length"),
    **dict.fromkeys(("defined", "present", "has", "isset", "absent", "missing"), "exists"),
}

_EXAMPLES = {
    FieldType.NUMBER: "200",
    FieldType.DURATION: "300ms",
    FieldType.SIZE: "64KiB",
    FieldType.TEXT: "'…'",
    FieldType.FLAG: "true or false",
    FieldType.TEXTS: "'…'",
    FieldType.ANY: "a value",
}


def look_up(
    vocabulary: Vocabulary, name: str, column: int, *, is_called: bool = False
) -> FieldType | FieldFunction:
    """Return the type or function of a field. Raises ConditionError if the vocabulary has no such field."""
    field = vocabulary.fields.get(name)
    if field is not None:
        return field
    known = sorted(vocabulary.fields)
    hint = did_you_mean(name, known) or did_you_mean(name.lower(), known)
    if is_called and (
        word := _FOREIGN_FUNCTIONS.get(name.lower()) or did_you_mean(name, ["exists", "length"])
    ):
        hint = word if word.startswith("did") else f"write {word}(field)"
    if not hint and known:
        more = ", …" if len(known) > MAX_NAMED_FIELDS else ""
        hint = f"known fields: {', '.join(known[:MAX_NAMED_FIELDS])}{more}"
    raise ConditionError(column, f"there is no field {shortened(name)}", hint)


def check_operator(subject: str, field_type: FieldType, operator: Operator, column: int) -> None:
    """Check an operator. Raises ConditionError if the field type does not have it."""
    if operator not in OPERATORS[field_type]:
        known = [known.value for known in OPERATORS[field_type]]
        raise ConditionError(
            column,
            f"{operator.value} cannot be used with {subject}, which is {field_type.value}",
            f"write {joined(known, 'or')}",
        )


def check_literal(
    subject: str,
    field_type: FieldType,
    operator: Operator,
    literal: Literal,
    column: int,
    columns: Sequence[int],
) -> None:
    """Check a value. Raises ConditionError if the operator does not accept it. `columns`: of the items of a list."""
    is_list = literal.kind is Kind.LIST
    needs_list = operator is Operator.IN or (operator in _EQUALITY and field_type is FieldType.TEXTS)
    takes_list = needs_list or (operator in _EQUALITY and field_type is FieldType.ANY)
    if is_list and not takes_list:
        hint = {
            Operator.EQUAL: "use in to accept one of several values",
            Operator.NOT_EQUAL: "use not … in to exclude several values",
        }.get(operator, "combine several comparisons with and, or")
        raise ConditionError(column, f"{operator.value} takes one value, not a list", hint)
    if needs_list and not is_list:
        raise ConditionError(column, f"{operator.value} needs a list", f"write [{literal}]")
    items = literal.items
    accepted = KINDS[field_type]
    if operator in _ORDER:
        accepted &= _NUMERIC
    elif operator is Operator.MATCHES:
        accepted &= {Kind.TEXT}
    for item, place in zip(items, columns, strict=True):
        if item.kind not in accepted:
            raise _mismatch(subject, field_type, operator, item, place)


def check_length(subject: str, field_type: FieldType, column: int) -> None:
    """Check that a field has a length. Raises ConditionError if it has none."""
    if field_type not in {FieldType.TEXT, FieldType.TEXTS, FieldType.ANY}:
        raise ConditionError(
            column, f"{subject} is {field_type.value}, which has no length", f"write {subject}"
        )


def check_bounds(
    subject: str,
    field_type: FieldType,
    operator: Operator,
    literal: Literal,
    bounds: Bounds | None,
    columns: Sequence[int],
) -> None:
    """Check a value. Raises ConditionError if the field cannot have it, or if it is implausible."""
    if bounds is None:
        return
    for item, column in zip(literal.items, columns, strict=True):
        number = item.value
        if bounds.values and operator in {*_EQUALITY, Operator.IN} and number not in bounds.values:
            known = [str(Literal(item.kind, value)) for value in bounds.values]
            raise ConditionError(
                column,
                f"{subject} is never {shortened(str(item))}",
                f"it is {joined(known, 'or')}",
            )
        if not isinstance(number, (int, float)) or item.kind not in _NUMERIC:
            continue
        problem, hint = _implausibility(subject, field_type, operator, item, number, bounds)
        if problem:
            raise ConditionError(column, problem, hint)


def _implausibility(
    subject: str, field_type: FieldType, operator: Operator, item: Literal, number: float, bounds: Bounds
) -> tuple[str, str]:
    """Return the problem with the number and the hint; empty texts if the number is plausible."""
    shown = str(item)
    is_bare = item.kind is Kind.NUMBER and number != 0
    if is_bare and not bounds.bare_least <= number <= bounds.bare_most:
        if field_type is FieldType.DURATION:
            return f"{shown} would be {shown} seconds", f"write {shown}{bounds.unit} or {shown}s"
        return (
            f"{subject} is in {bounds.unit}, so {shown} is not plausible",
            f"write {number * 100:g}",
        )
    if bounds.is_whole and number != int(number):
        return f"{subject} is a whole number, and {shown} is not", f"write {int(number)}"
    # A comparison with 0, such as "status > 0", means any response.
    means_any = number == 0 and operator in {Operator.MORE, Operator.AT_LEAST, Operator.NOT_EQUAL}
    if number > bounds.most or (number < bounds.least and not means_any):
        return f"{subject} is never {shown}", _range_text(field_type, bounds)
    if (operator, number) in {(Operator.LESS, bounds.least), (Operator.MORE, bounds.most)}:
        direction = "below" if operator is Operator.LESS else "above"
        return f"{subject} is never {direction} {shown}", _range_text(field_type, bounds)
    return "", ""


def _range_text(field_type: FieldType, bounds: Bounds) -> str:
    least, most = (
        str(Literal(_KIND_OF.get(field_type, Kind.NUMBER), number)) if math.isfinite(number) else ""
        for number in (bounds.least, bounds.most)
    )
    return f"it is from {least} to {most}" if most else f"it is at least {least}"


def _mismatch(
    subject: str, field_type: FieldType, operator: Operator, literal: Literal, column: int
) -> ConditionError:
    shown = shortened(str(literal))
    if field_type is FieldType.ANY:
        example = "'…'" if operator is Operator.MATCHES else "a number, a duration or a size"
        return ConditionError(
            column, f"{shown} is {literal.kind.value}, which {operator.value} cannot take", f"write {example}"
        )
    hint = f"write {_EXAMPLES[field_type]}"
    if literal.kind is Kind.NULL:
        hint = f"write exists({subject}) or not exists({subject})"
    elif literal.kind is Kind.TEXT:
        written = str(literal.value)
        is_number = field_type is not FieldType.FLAG and _NUMBER.fullmatch(written) is not None
        hint = f"write {written if is_number else _EXAMPLES[field_type]} without quotes"
    elif field_type in {FieldType.TEXT, FieldType.TEXTS}:
        hint = f"write '{shown}'"
    return ConditionError(
        column, f"{shown} is {literal.kind.value}, and {subject} is {field_type.value}", hint
    )
