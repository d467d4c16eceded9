"""Evaluation of a comparison against the value of its field: true, false, or unresolved with the reason.

Never raises. A value whose type is not the declared type of its field is unresolved. For fields of type ANY, values
of different types are unequal, and values without an order, or that cannot contain others, are unresolved.
"""

import math
from typing import TypeGuard

from monitord.conditions.json_path import Unresolved
from monitord.conditions.tree import Comparison, Kind, Literal, Operator, quoted
from monitord.conditions.vocabulary import FieldType
from monitord.text import shortened
from monitord.units import format_duration, format_size

MAX_SHOWN_CHARACTERS = 60
MAX_SHOWN_ITEMS = 5
MAX_SHOWN_BITS = 128

_NUMERIC = frozenset({FieldType.NUMBER, FieldType.DURATION, FieldType.SIZE})
_PRECISE_BELOW_S = 1.0
_WHOLE_SECONDS_FROM_S = 60.0


def compare(comparison: Comparison, value: object) -> bool | Unresolved:
    """Evaluate the comparison in time proportional to the length of the value; patterns have limits of their own."""
    # None can be the null of a JSON document, if the comparison is with null.
    if value is None and not (
        comparison.field_type is FieldType.ANY
        and any(item.kind is Kind.NULL for item in comparison.literal.items)
    ):
        value = Unresolved()
    if isinstance(value, Unresolved):
        return value
    if not _is_of_type(value, comparison.field_type):
        return Unresolved(f"{_shown_any(value)} is not {comparison.field_type.value}")
    operator, literal, field_type = comparison.operator, comparison.literal, comparison.field_type
    if operator in {Operator.EQUAL, Operator.NOT_EQUAL}:
        return _equal(value, literal, field_type) is (operator is Operator.EQUAL)
    if operator is Operator.IN:
        return any(_equal(value, item, field_type) for item in literal.items)
    if operator is Operator.CONTAINS:
        return _contains(value, literal)
    return _matches(value, comparison) if operator is Operator.MATCHES else _ordered(value, operator, literal)


def exists(value: object, field_type: FieldType) -> bool | Unresolved:
    """Return whether there is a value; unresolved if this is unknown, for example in a body that is not JSON."""
    if isinstance(value, Unresolved):
        return value if not value.is_absent else False
    return value is not None or field_type is FieldType.ANY


def length_of(value: object) -> object:
    """Return the number of items, members or characters; unresolved if the value has no length."""
    if isinstance(value, Unresolved):
        return value
    if isinstance(value, (str, list, tuple, dict)):
        return len(value)
    return Unresolved() if value is None else Unresolved(f"{_shown_any(value)} has no length")


def shown_value(value: object, field_type: FieldType) -> str:
    """Return the value as shown in outcomes: on one line, shortened."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if field_type is FieldType.DURATION and is_number(value):
        return _shown_duration(value)
    if field_type is FieldType.SIZE and isinstance(value, int) and not isinstance(value, bool):
        return format_size(value) if abs(value).bit_length() <= MAX_SHOWN_BITS else _shown_any(value)
    return _shown_any(value)


def is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_of_type(value: object, field_type: FieldType) -> bool:
    if field_type in _NUMERIC:
        return is_number(value)
    if field_type is FieldType.TEXT:
        return isinstance(value, str)
    if field_type is FieldType.FLAG:
        return isinstance(value, bool)
    if field_type is FieldType.TEXTS:
        return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
    # Python's JSON parser accepts NaN and Infinity.
    return not isinstance(value, float) or math.isfinite(value)


def _equal(value: object, literal: Literal, field_type: FieldType = FieldType.ANY) -> bool:
    if literal.kind is Kind.LIST:
        if not isinstance(value, (list, tuple)):
            return False
        items = literal.items
        if field_type is FieldType.TEXTS:
            return set(value) == {item.value for item in items}
        return len(value) == len(items) and all(map(_equal, value, items))
    if literal.kind is Kind.NULL:
        return value is None
    if literal.kind in {Kind.TEXT, Kind.FLAG}:
        return isinstance(value, str if literal.kind is Kind.TEXT else bool) and value == literal.value
    return is_number(value) and value == literal.value


def _contains(value: object, literal: Literal) -> bool | Unresolved:
    if isinstance(value, (list, tuple)):
        # Comparing each item by `_equal` takes 200 ms for a megabyte of numbers.
        if literal.kind is Kind.NULL:
            return None in value
        if literal.kind is Kind.TEXT or literal.value not in value:
            return literal.value in value
        # 1 == True in Python, but not in JSON.
        is_flag = literal.kind is Kind.FLAG
        return literal.value in [item for item in value if isinstance(item, bool) is is_flag]
    if isinstance(value, str) and isinstance(literal.value, str):
        return literal.value in value
    return Unresolved(f"{_shown_any(value)} cannot contain {shortened(str(literal))}")


def _matches(value: object, comparison: Comparison) -> bool | Unresolved:
    if comparison.pattern is None:
        return Unresolved("no pattern")
    if isinstance(value, str):
        is_match = comparison.pattern.is_in_any([value])
    elif isinstance(value, (list, tuple)) and comparison.field_type is FieldType.TEXTS:
        is_match = comparison.pattern.is_in_any(value)
    else:
        return Unresolved(f"{_shown_any(value)} is not a string")
    return Unresolved("the text is too long for this pattern") if is_match is None else is_match


def _ordered(value: object, operator: Operator, literal: Literal) -> bool | Unresolved:
    limit = literal.value
    if not is_number(value) or not isinstance(limit, (int, float)):
        return Unresolved(f"{_shown_any(value)} cannot be ordered")
    if operator is Operator.LESS:
        return value < limit
    if operator is Operator.AT_MOST:
        return value <= limit
    return value > limit if operator is Operator.MORE else value >= limit


def _shown_duration(seconds: float) -> str:
    if abs(seconds) < _PRECISE_BELOW_S:
        # More precise than format_duration: the difference between 300.04ms and 300ms may decide the comparison.
        return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms" if seconds else "0s"
    if abs(seconds) > float(1 << MAX_SHOWN_BITS):
        return _shown_any(seconds)
    return shortened(
        format_duration(seconds if abs(seconds) < _WHOLE_SECONDS_FROM_S else float(int(seconds)))
    )


def _shown_any(value: object) -> str:
    if isinstance(value, (list, tuple)):
        items = [_shown_single(item) for item in value[:MAX_SHOWN_ITEMS]]
        return shortened(
            f"[{', '.join(items)}{', …' if len(value) > len(items) else ''}]", MAX_SHOWN_CHARACTERS
        )
    return _shown_single(value)


def _shown_single(value: object) -> str:
    """Return the text of an item; nested containers are abbreviated."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = quoted(value[:MAX_SHOWN_CHARACTERS])
        return text if len(value) <= MAX_SHOWN_CHARACTERS else text + "…"
    if isinstance(value, int):
        # Python raises ValueError for the text of a number with thousands of digits.
        return (
            str(value) if value.bit_length() <= MAX_SHOWN_BITS else f"a number of {value.bit_length()} bits"
        )
    if isinstance(value, float):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[…]" if value else "[]"
    return "null" if value is None else "{…}" if isinstance(value, dict) else type(value).__name__
