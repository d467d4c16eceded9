"""Compiled conditions: parsed when the configuration is loaded, evaluated after each check.

Evaluation has three values (Kleene's logic): a comparison is true, false, or unresolved if its field has no value.
`not` keeps unresolved. `and` is false if any part is false, and `or` is true if any part is true; otherwise one
unresolved part makes the whole condition unresolved. An unresolved condition does not hold, so a missing value never
makes a condition true, not even `not json('$.x') == 1`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from monitord.conditions.comparing import MAX_SHOWN_CHARACTERS, compare, exists, length_of, shown_value
from monitord.conditions.errors import ConditionError
from monitord.conditions.json_path import Unresolved
from monitord.conditions.parser import Parser
from monitord.conditions.tree import Comparison, Exists, Node, Not, Or, Reference, comparisons
from monitord.conditions.vocabulary import Vocabulary
from monitord.text import shortened

MAX_CONDITION_CHARACTERS = 2000
MAX_RESULT_CHARACTERS = 1000

Lookup = Callable[[Reference], object]
"""Returns the value of a field: int, float, str, bool, list or any JSON value; None or Unresolved without a value."""


Shown = Callable[[object], object]
"""Returns a value of the same type for output, for example with secrets masked."""


def _unchanged(value: object) -> object:
    return value


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """Result of an evaluation. `text` is the condition with the values on one line: status == 200 (actual: 503)."""

    holds: bool
    unresolved: bool
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; equal if text and vocabulary are equal.

    `text` is canonical: parsing it gives an equal condition. `needs` are the names of the fields that it reads.
    """

    text: str
    vocabulary: Vocabulary
    tree: Node = field(compare=False, repr=False)
    needs: frozenset[str] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def evaluate(self, lookup: Lookup, shown: Shown = _unchanged) -> ConditionResult:
        """Evaluate all comparisons in reading order. Raises only exceptions of `lookup` and `shown`."""
        # No short circuit: the outcome shows the values of all fields.
        holds, text = _judge(self.tree, lookup, shown)
        return ConditionResult(holds is True, holds is None, shortened(text, MAX_RESULT_CHARACTERS))


def parse_condition(text: str, vocabulary: Vocabulary) -> Condition:
    """Compile a condition. Raises ConditionError if it is invalid for the fields of the vocabulary."""
    _check_length(text)
    tree = Parser(text, vocabulary).parse()
    canonical = str(tree)
    _check_length(canonical)  # may be longer than `text`, and must be valid as input
    needs = frozenset(comparison.reference.name for comparison in comparisons(tree))
    return Condition(canonical, vocabulary, tree, needs)


def _check_length(text: str) -> None:
    if len(text) > MAX_CONDITION_CHARACTERS:
        raise ConditionError(
            MAX_CONDITION_CHARACTERS + 1,
            f"the condition is longer than {MAX_CONDITION_CHARACTERS} characters",
            "split it into several conditions",
        )


def _judge(node: Node, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    """Return True, False, or None if unresolved, and the text with the values."""
    if isinstance(node, Comparison):
        return _judge_comparison(node, lookup, shown)
    if isinstance(node, Exists):
        return _judge_existence(node, lookup, shown)
    if isinstance(node, Not):
        holds, text = _judge(node.operand, lookup, shown)
        return None if holds is None else not holds, node.text(text)
    judged = [_judge(operand, lookup, shown) for operand in node.operands]
    parts = [holds for holds, _ in judged]
    text = node.text([text for _, text in judged])
    decisive = isinstance(node, Or)
    if decisive in parts:
        return decisive, text
    return None if None in parts else not decisive, text


def _judge_comparison(comparison: Comparison, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    value = lookup(comparison.reference)
    if comparison.is_of_length:
        value = length_of(value)
    holds = compare(comparison, value)
    visible = shown(value)
    if isinstance(holds, Unresolved):
        # The reason may quote the value, so it is computed from the visible value.
        visible_outcome = holds if visible is value else compare(comparison, visible)
        reason = visible_outcome.why if isinstance(visible_outcome, Unresolved) else holds.why
        return None, f"{comparison} (unresolved: {shortened(reason, 2 * MAX_SHOWN_CHARACTERS)})"
    return holds, f"{comparison} (actual: {shown_value(visible, comparison.field_type)})"


def _judge_existence(node: Exists, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    value = lookup(node.reference)
    is_present = exists(value, node.field_type)
    if isinstance(is_present, Unresolved):
        return None, f"{node} (unresolved: {shortened(is_present.why, 2 * MAX_SHOWN_CHARACTERS)})"
    if not is_present:
        return False, f"{node} (absent)"
    return True, f"{node} (actual: {shown_value(shown(value), node.field_type)})"
