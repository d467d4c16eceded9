"""Comparisons that can never hold together: "status == 200 and status == 204"."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitord.conditions.tree import And, Comparison, Kind, Node, Not, Operator, Or

Pair = tuple[Comparison, Comparison]

_WITHOUT_ORDER = frozenset({Kind.TEXT, Kind.FLAG, Kind.NULL})


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the possible range of a field, and the comparison that set it."""

    value: float
    is_open: bool
    set_by: Comparison | None = None


def contradiction(nodes: Iterable[Node]) -> Pair | None:
    """Return two comparisons that exclude each other in conditions that must all hold; None if there are none."""
    nodes = tuple(nodes)
    return _excluding(tuple(_required(nodes))) or next(filter(None, map(_within, nodes)), None)


def _within(node: Node) -> Pair | None:
    """Return such a pair in a part of the condition, whose value is then constant."""
    if isinstance(node, Not):
        return contradiction([node.operand])
    if isinstance(node, Or):
        return next((pair for operand in node.operands if (pair := contradiction([operand]))), None)
    if isinstance(node, And):
        return next((pair for operand in node.operands if (pair := _within(operand))), None)
    return None


def _required(nodes: Iterable[Node]) -> Iterator[Comparison]:
    """Yield the comparisons that must hold for all conditions to hold."""
    for node in nodes:
        if isinstance(node, Comparison):
            yield node
        elif isinstance(node, And):
            yield from _required(node.operands)


def _excluding(comparisons: Iterable[Comparison]) -> Pair | None:
    values: dict[str, Comparison] = {}
    ranges: dict[str, tuple[_End, _End]] = {}
    unbounded = (_End(-math.inf, is_open=False), _End(math.inf, is_open=False))
    for comparison in comparisons:
        subject, literal = comparison.subject, comparison.literal
        if literal.kind in _WITHOUT_ORDER:
            is_equality = comparison.operator is Operator.EQUAL
            other = values.setdefault(subject, comparison) if is_equality else comparison
            if other.literal != literal:
                return other, comparison
        elif isinstance(literal.value, (int, float)):
            low, high = ranges.get(subject, unbounded)
            operator, value = comparison.operator, literal.value
            is_open = operator in {Operator.MORE, Operator.LESS}
            end = _End(value, is_open, comparison)
            is_lower_end = operator in {Operator.EQUAL, Operator.MORE, Operator.AT_LEAST}
            if is_lower_end and (value, is_open) > (low.value, low.is_open):
                low = end
            is_upper_end = operator in {Operator.EQUAL, Operator.LESS, Operator.AT_MOST}
            if is_upper_end and (value, not is_open) < (high.value, not high.is_open):
                high = end
            ranges[subject] = low, high
            is_empty = low.value > high.value or (low.value == high.value and (low.is_open or high.is_open))
            if is_empty and low.set_by is not None and high.set_by is not None:
                return (high if low.set_by is comparison else low).set_by or comparison, comparison
    return None
