"""Syntax tree of a condition. The text of each node is canonical: parsing it gives an equal node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from typing import Any

from monitord.conditions.pattern.matcher import Pattern
from monitord.conditions.vocabulary import FieldType
from monitord.text import unicode_escape
from monitord.units import format_duration, format_size, parse_duration

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MEANINGFUL_AFTER_BACKSLASH = frozenset("\\'\"ntruU")


class Operator(Enum):
    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    CONTAINS = "contains"
    MATCHES = "matches"
    IN = "in"


class Kind(Enum):
    """Type of a literal; the value is its name in messages."""

    NUMBER = "a number"
    DURATION = "a duration"
    SIZE = "a size"
    TEXT = "text"
    FLAG = "true or false"
    NULL = "null"
    LIST = "a list"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a condition: durations in seconds, sizes in bytes, lists as tuples of literals."""

    kind: Kind
    value: "int | float | str | tuple[Literal, ...]"

    @property
    def items(self) -> "tuple[Literal, ...]":
        """The items of a list; a single value is returned as a tuple of one item."""
        return self.value if isinstance(self.value, tuple) else (self,)

    def __str__(self) -> str:
        if isinstance(self.value, tuple):
            return f"[{', '.join(map(str, self.value))}]"
        if isinstance(self.value, str):
            return quoted(self.value)
        if self.kind in {Kind.FLAG, Kind.NULL}:
            return "null" if self.kind is Kind.NULL else "true" if self.value else "false"
        if self.kind is Kind.SIZE:
            return format_size(int(self.value))
        if self.kind is Kind.DURATION:
            text = format_duration(abs(self.value))
            if parse_duration(text) != abs(self.value):
                # Finer than a millisecond.
                text = f"{_number_text(float(abs(self.value)))}s"
            return f"-{text}" if self.value < 0 else text
        return _number_text(self.value)


@dataclass(frozen=True, slots=True)
class Reference:
    """The field of a comparison. `argument` is the parsed argument of a function; None for a plain field."""

    name: str
    argument: Any = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name}({quoted(str(self.argument))})"


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the field has a value, including null."""

    reference: Reference
    field_type: FieldType

    def __str__(self) -> str:
        return f"exists({self.reference})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`is_of_length`: the length of the value is compared, not the value; `field_type` is then a number."""

    reference: Reference
    field_type: FieldType
    operator: Operator
    literal: Literal
    pattern: Pattern | None = field(default=None, compare=False)  # of a literal that follows `matches`
    is_of_length: bool = False

    @property
    def subject(self) -> str:
        return f"length({self.reference})" if self.is_of_length else str(self.reference)

    def __str__(self) -> str:
        return f"{self.subject} {self.operator.value} {self.literal}"


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Node"

    def text(self, operand: str) -> str:
        """Return the text of this node with the given text of its operand."""
        return f"not ({operand})" if isinstance(self.operand, (And, Or)) else f"not {operand}"

    def __str__(self) -> str:
        return self.text(str(self.operand))


@dataclass(frozen=True, slots=True)
class And:
    """Conjunction. No operand is an And: adjacent ones are merged."""

    operands: "tuple[Node, ...]"

    def text(self, operands: Sequence[str]) -> str:
        """Return the text of this node with the given texts of its operands."""
        return " and ".join(
            f"({text})" if isinstance(node, Or) else text
            for node, text in zip(self.operands, operands, strict=True)
        )

    def __str__(self) -> str:
        return self.text([str(operand) for operand in self.operands])


@dataclass(frozen=True, slots=True)
class Or:
    """Disjunction. No operand is an Or."""

    operands: "tuple[Node, ...]"

    def text(self, operands: Sequence[str]) -> str:
        """Return the text of this node with the given texts of its operands."""
        return " or ".join(operands)

    def __str__(self) -> str:
        return self.text([str(operand) for operand in self.operands])


Node = Comparison | Exists | Not | And | Or


def comparisons(node: Node) -> Iterator[Comparison | Exists]:
    """Yield the comparisons in reading order."""
    if isinstance(node, (Comparison, Exists)):
        yield node
    else:
        for operand in (node.operand,) if isinstance(node, Not) else node.operands:
            yield from comparisons(operand)


def quoted(text: str) -> str:
    """Return the text as a quoted literal on one line; a backslash is doubled only where necessary."""
    mark = '"' if "'" in text and '"' not in text else "'"
    shown = [mark]
    for character, following in zip_longest(text, text[1:]):
        if character == mark:
            shown.append("\\" + mark)
        elif character == "\\":
            is_literal = (
                following is not None
                and following.isprintable()
                and following not in _MEANINGFUL_AFTER_BACKSLASH
            )
            shown.append("\\" if is_literal else "\\\\")
        elif character.isprintable():
            shown.append(character)
        elif character in _ESCAPES:
            shown.append(_ESCAPES[character])
        else:
            shown.append(unicode_escape(character))
    shown.append(mark)
    return "".join(shown)


def _number_text(number: float) -> str:
    """Return the number without an exponent, which the language does not have."""
    if isinstance(number, int):
        return str(number)
    # Imported here, because the module takes 0.5 MiB and few conditions contain fractions.
    from decimal import Decimal  # noqa: PLC0415

    return format(Decimal(repr(number)), "f")
