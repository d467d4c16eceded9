"""Which facts a condition may speak of, and of what type each is. A type of monitor declares one vocabulary.

VOCABULARY = Vocabulary(
    {
        "status": FactType.NUMBER,
        "response_time": FactType.DURATION,
        "header": FactFunction(FactType.TEXT),
        "json": FactFunction(FactType.ANY, parse_json_path),
    }
)
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

FACT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
RESERVED = frozenset({"and", "or", "not", "contains", "matches", "in", "true", "false"})


class FactType(Enum):
    """What a fact's value is; the text is how messages call it."""

    NUMBER = "a number"
    DURATION = "a duration"  # its value in seconds
    SIZE = "a size"  # its value in bytes
    TEXT = "text"
    FLAG = "true or false"
    TEXTS = "a list of texts"  # in no order: the addresses in an answer, the names in a certificate
    ANY = "a value of any type"  # known at run time only: what stands in a JSON document


@dataclass(frozen=True, slots=True)
class FactFunction:
    """A fact with an argument, as header('Name').

    `parse_argument` runs once, at load; ValueError("problem; hint") from it refuses the condition. What it
    makes is what the lookup gets, and as text it must be an argument that means the same.
    """

    result: FactType
    parse_argument: Callable[[str], Hashable] = str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Equal vocabularies give equal conditions for equal texts."""

    facts: Mapping[str, FactType | FactFunction]

    def __post_init__(self) -> None:
        for name in self.facts:
            if not FACT_NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(f"{name!r} cannot be the name of a fact")
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))

    def __hash__(self) -> int:
        return hash(frozenset(self.facts.items()))
