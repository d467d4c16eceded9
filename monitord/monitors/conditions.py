"""Read lists of conditions: of a monitor, and of a step of a monitor."""

import math
from collections.abc import Iterable, Mapping

from monitord.conditions import Condition, Vocabulary, parse_condition
from monitord.conditions.contradiction import contradiction
from monitord.conditions.tree import Comparison, Operator, comparisons
from monitord.config import Table
from monitord.errors import InvalidValueError, problem_and_hint
from monitord.units import format_duration

MAX_KEPT_CONDITIONS = 256
"""Conditions that are kept after parsing: thousands of monitors can have the same condition."""

_conditions: dict[tuple[str, int], tuple[Vocabulary, Condition]] = {}
"""By text and identity of the vocabulary."""


def read_conditions(
    table: Table, key: str, vocabulary: Vocabulary, absent: Mapping[str, str], timeout_s: float = math.inf
) -> tuple[Condition, ...]:
    """Read the conditions of `up_when` or `degraded_when`. `absent`: see `Monitor.absent_fields`."""

    def parse(text: str) -> Condition:
        condition = _parsed(text, vocabulary)
        if key in table:  # a condition of [defaults] may be impossible for some monitors
            for comparison in comparisons(condition.tree):
                name = comparison.reference.name
                if name in absent:
                    raise InvalidValueError(f"uses {name}, which {absent[name]}", "remove it")
                if (
                    isinstance(comparison, Comparison)
                    and name == "response_time"
                    and comparison.operator in {Operator.MORE, Operator.AT_LEAST}
                    and isinstance(comparison.literal.value, (int, float))
                    and comparison.literal.value > timeout_s
                ):
                    timeout = format_duration(timeout_s)
                    raise InvalidValueError(
                        f"is never true, because a check ends after its timeout of {timeout}",
                        f"write less than {timeout}",
                    )
        return condition

    conditions: tuple[Condition, ...] = table.values(key, parse, default=())
    if key == "up_when":  # all of these must hold
        try:
            _check_contradiction(conditions, "combine them with or in one condition")
        except ValueError as error:
            table.error(key, *problem_and_hint(error))
    return conditions


def _parsed(text: str, vocabulary: Vocabulary) -> Condition:
    """Parse a condition, or return that of another monitor. Raises InvalidValueError."""
    key = text, id(vocabulary)
    cached = _conditions.get(key)
    if cached is not None and cached[0] is vocabulary:
        return cached[1]
    condition = parse_condition(text, vocabulary)
    _check_contradiction([condition], "use or, or write field in [value, value]")
    if len(_conditions) >= MAX_KEPT_CONDITIONS:
        _conditions.clear()
    _conditions[key] = vocabulary, condition
    return condition


def _check_contradiction(conditions: Iterable[Condition], hint: str) -> None:
    """Check conditions together. Raises InvalidValueError for comparisons that can never hold together."""
    pair = contradiction(condition.tree for condition in conditions)
    if pair is not None:
        raise InvalidValueError(f"can never hold, because {pair[0]} excludes {pair[1]}", hint)
