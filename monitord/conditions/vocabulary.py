"""Vocabularies: the fields that conditions can use, with their types. Each monitor type declares a vocabulary.

VOCABULARY = Vocabulary(
    {
        "status": FieldType.NUMBER,
        "response_time": FieldType.DURATION,
        "header": FieldFunction(FieldType.TEXT),
        "json": FieldFunction(FieldType.ANY, parse_json_path),
    }
)
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
RESERVED = frozenset(
    {"and", "or", "not", "contains", "matches", "in", "true", "false", "null", "exists", "length"}
)


class FieldType(Enum):
    """Type of a field; the value is its name in messages."""

    NUMBER = "a number"
    DURATION = "a duration"  # its value in seconds
    SIZE = "a size"  # its value in bytes
    TEXT = "a string"
    FLAG = "true or false"
    TEXTS = "a list of strings"  # unordered: the addresses in a DNS response, the names in a certificate
    ANY = "a value of any type"  # known only at run time: values of a JSON document


@dataclass(frozen=True, slots=True)
class FieldFunction:
    """A field with an argument, such as header('Name').

    `parse_argument` is called when the condition is parsed; InvalidValueError from it rejects the condition. Its result
    is passed to the lookup, and the text of the result must be an equivalent argument.
    """

    result: FieldType
    parse_argument: Callable[[str], Hashable] = str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Plausible values for comparisons with a field; other values are rejected as mistakes.

    `least` and `most` are the lowest and highest value that the field can have. A number without a unit, other than 0,
    below `bare_least` or above `bare_most` is assumed to be in `unit`. `values` are all values of the field, if they
    are few.
    """

    least: float = -math.inf
    most: float = math.inf
    bare_least: float = -math.inf
    bare_most: float = math.inf
    unit: str = ""
    is_whole: bool = False
    values: tuple[str | int, ...] = ()


LATENCY = Bounds(least=0, bare_most=60, unit="ms")
"""Bounds of a duration that a check measures: 500 is often written for 500ms, and no check takes 500 seconds."""
EXPIRY = Bounds(bare_least=86_400, unit="d")
"""Bounds of the remaining validity of a certificate, which is usually stated in days."""
COUNT = Bounds(least=0, is_whole=True)
EXIT_STATUS = Bounds(least=0, most=255, is_whole=True)
IP_VERSION = Bounds(least=4, most=6, is_whole=True, values=(4, 6))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The fields of a monitor type and their bounds."""

    fields: Mapping[str, FieldType | FieldFunction]
    bounds: Mapping[str, Bounds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.bounds.keys() - self.fields.keys():
            raise ValueError(f"there are bounds for {name!r}, but no such field")
        for name in self.fields:
            if not FIELD_NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(f"{name!r} cannot be the name of a field")
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
        object.__setattr__(self, "bounds", MappingProxyType(dict(self.bounds)))

    def __hash__(self) -> int:
        return hash(frozenset(self.fields.items()))
