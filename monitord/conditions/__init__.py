"""Conditions: "status == 200 and response_time < 300ms" from text to a typed tree to true or false.

    VOCABULARY = Vocabulary(
        {
            "status": FieldType.NUMBER,
            "response_time": FieldType.DURATION,
            "json": FieldFunction(FieldType.ANY, parse_json_path),
        }
    )
    condition = parse_condition("status == 200 and json('$.lag') < 5", VOCABULARY)   # or ConditionError
    condition.needs                                                                  # {"status", "json"}

    def lookup(field: Reference) -> object:
        if field.name == "json":
            return field.argument.find(document)
        return fields.get(field.name)                                 # None or Unresolved("…"): there is none

    outcome = condition.evaluate(lookup)
    outcome.holds, outcome.unresolved
    outcome.text                                 # "status == 200 (actual: 503) and json('$.lag') < 5 (actual: 2)"

docs/conditions.md describes the language. Pure: no I/O, no clock, no logging.
"""

from monitord.conditions.condition import Condition, ConditionResult, Lookup, parse_condition
from monitord.conditions.errors import ConditionError
from monitord.conditions.json_path import JsonPath, Unresolved, parse_json_path
from monitord.conditions.tree import Reference
from monitord.conditions.vocabulary import (
    COUNT,
    EXIT_STATUS,
    EXPIRY,
    IP_VERSION,
    LATENCY,
    Bounds,
    FieldFunction,
    FieldType,
    Vocabulary,
)

__all__ = [
    "COUNT",
    "EXIT_STATUS",
    "EXPIRY",
    "IP_VERSION",
    "LATENCY",
    "Bounds",
    "Condition",
    "ConditionError",
    "ConditionResult",
    "FieldFunction",
    "FieldType",
    "JsonPath",
    "Lookup",
    "Reference",
    "Unresolved",
    "Vocabulary",
    "parse_condition",
    "parse_json_path",
]
