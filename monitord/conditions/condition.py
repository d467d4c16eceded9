"""A condition ready for use: compiled once at load, asked after each check.

Three values (Kleene's logic): a comparison is true, false or, where its field does not resolve, unresolved. `not`
leaves unresolved as it is; `and` is false where one part is false, `or` true where one part is true, whatever the
others are; otherwise one unresolved part makes the whole unresolved. A whole that is unresolved does not hold:
what is missing can never make a condition true, `not json('$.x') == 1` neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitord.conditions.comparing import MAX_SEEN_CHARACTERS, compare, exists, length_of, seen
from monitord.conditions.errors import ConditionError
from monitord.conditions.json_path import Unresolved
from monitord.conditions.parser import Parser
from monitord.conditions.tree import Comparison, Exists, Node, Not, Or, Reference, comparisons
from monitord.conditions.vocabulary import Vocabulary
from monitord.text import shortened

MAX_CONDITION_CHARACTERS = 2000
MAX_OUTCOME_CHARACTERS = 1000

Lookup = Callable[[Reference], object]
"""The value of a field: int, float, str, bool, list or what JSON holds; None or Unresolved where there is none."""


Shown = Callable[[object], object]


def _as_it_is(value: object) -> object:
    return value


@dataclass(frozen=True, slots=True)
class Outcome:
    """`text` is the condition with the values seen, on one line: status == 200 (503)."""

    holds: bool
    unresolved: bool
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Equal when text and vocabulary are. `text` is the canonical one: compiled again it is the same condition.

    `needs` names the fields and functions it reads.
    """

    text: str
    vocabulary: Vocabulary
    tree: Node = field(compare=False, repr=False)
    needs: frozenset[str] = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text

    def evaluate(self, lookup: Lookup, shown: Shown = _as_it_is) -> Outcome:
        """Asks for every field, in reading order, also where the first decides: people want to see them all.

        `shown` makes of a value what people may see of it, of the same type. Raises only what these two raise.
        """
        holds, text = _judge(self.tree, lookup, shown)
        return Outcome(holds is True, holds is None, shortened(text, MAX_OUTCOME_CHARACTERS))


def parse_condition(text: str, vocabulary: Vocabulary) -> Condition:
    """Raises ConditionError for what is no condition on these fields."""
    _check_length(text)
    tree = Parser(text, vocabulary).whole()
    canonical = str(tree)
    _check_length(canonical)  # it may be the longer one, and must pass here again
    needs = frozenset(comparison.reference.name for comparison in comparisons(tree))
    return Condition(canonical, vocabulary, tree, needs)


def _check_length(text: str) -> None:
    if len(text) > MAX_CONDITION_CHARACTERS:
        raise ConditionError(
            MAX_CONDITION_CHARACTERS + 1,
            f"the condition is longer than {MAX_CONDITION_CHARACTERS} characters",
            "make several of it",
        )


def _judge(node: Node, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    """True, false or None for unresolved, and the text with the values."""
    if isinstance(node, Comparison):
        return _judge_comparison(node, lookup, shown)
    if isinstance(node, Exists):
        return _judge_existence(node, lookup, shown)
    if isinstance(node, Not):
        holds, text = _judge(node.operand, lookup, shown)
        return None if holds is None else not holds, node.text(text)
    judged = [_judge(operand, lookup, shown) for operand in node.operands]
    text = node.text([text for _, text in judged])
    return _joined([holds for holds, _ in judged], decisive=isinstance(node, Or)), text


def _joined(parts: Sequence[bool | None], *, decisive: bool) -> bool | None:
    """One decisive part decides; else an unresolved one leaves it open."""
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def _judge_comparison(comparison: Comparison, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    value = lookup(comparison.reference)
    if comparison.is_of_length:
        value = length_of(value)
    holds = compare(comparison, value)
    visible = shown(value)
    if isinstance(holds, Unresolved):
        # The why may quote the value, so it is said of what may be seen.
        told = holds if visible is value else compare(comparison, visible)
        why = told.why if isinstance(told, Unresolved) else holds.why
        return None, f"{comparison} (unresolved: {shortened(why, 2 * MAX_SEEN_CHARACTERS)})"
    return holds, f"{comparison} ({seen(visible, comparison.field_type)})"


def _judge_existence(node: Exists, lookup: Lookup, shown: Shown) -> tuple[bool | None, str]:
    value = lookup(node.reference)
    there = exists(value, node.field_type)
    if isinstance(there, Unresolved):
        return None, f"{node} (unresolved: {shortened(there.why, 2 * MAX_SEEN_CHARACTERS)})"
    return there, f"{node} ({seen(shown(value), node.field_type) if there else 'absent'})"
