"""Conditions: "status == 200 and response_time < 300ms" from text to a typed tree to true or false.

    VOCABULARY = Vocabulary(
        {
            "status": FactType.NUMBER,
            "response_time": FactType.DURATION,
            "json": FactFunction(FactType.ANY, parse_json_path),
        }
    )
    condition = parse_condition("status == 200 and json('$.lag') < 5", VOCABULARY)   # or ConditionError
    condition.needs                                                                  # {"status", "json"}

    def lookup(fact: Reference) -> object:
        if fact.name == "json":
            return fact.argument.find(document)
        return facts.get(fact.name)                                 # None or Unresolved("…"): there is none

    outcome = condition.evaluate(lookup)
    outcome.holds, outcome.unresolved, outcome.text                 # "status == 200 (503) and json('$.lag') < 5 (2)"

docs/conditions.md describes the language. Pure: no I/O, no clock, no logging.
"""

from monitord.conditions.condition import Condition, Lookup, Outcome, parse_condition
from monitord.conditions.fault import ConditionError
from monitord.conditions.json_path import JsonPath, Unresolved, parse_json_path
from monitord.conditions.tree import Reference
from monitord.conditions.vocabulary import (
    COUNT,
    EXIT_STATUS,
    EXPIRY,
    IP_VERSION,
    LATENCY,
    Bounds,
    FactFunction,
    FactType,
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
    "FactFunction",
    "FactType",
    "JsonPath",
    "Lookup",
    "Outcome",
    "Reference",
    "Unresolved",
    "Vocabulary",
    "parse_condition",
    "parse_json_path",
]
