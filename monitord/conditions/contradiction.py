"""Comparisons that can never hold together: "status == 200 and status == 204"."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitord.conditions.tree import And, Comparison, Kind, Node, Not, Operator, Or

Pair = tuple[Comparison, Comparison]

_WITHOUT_ORDER = frozenset({Kind.TEXT, Kind.FLAG, Kind.NULL})


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the range of numbers that is left for a field, and the comparison that set it."""

    value: float
    is_open: bool
    set_by: Comparison | None = None


def contradiction(nodes: Iterable[Node]) -> Pair | None:
    """Two comparisons in these conditions, all of which must hold, that exclude each other; None if there are none."""
    nodes = tuple(nodes)
    found = _excluding(tuple(_required(nodes)))
    return found or next((pair for node in nodes if (pair := _within(node))), None)


def _within(node: Node) -> Pair | None:
    """The same in a part of a condition, which is then constant."""
    if isinstance(node, Not):
        return contradiction([node.operand])
    if isinstance(node, Or):
        return next((pair for operand in node.operands if (pair := contradiction([operand]))), None)
    if isinstance(node, And):
        return next((pair for operand in node.operands if (pair := _within(operand))), None)
    return None


def _required(nodes: Iterable[Node]) -> Iterator[Comparison]:
    """The comparisons that hold where all of the conditions hold."""
    for node in nodes:
        if isinstance(node, Comparison):
            yield node
        elif isinstance(node, And):
            yield from _required(node.operands)


def _excluding(comparisons: Iterable[Comparison]) -> Pair | None:
    values: dict[str, Comparison] = {}
    ranges: dict[str, tuple[_End, _End]] = {}
    for one in comparisons:
        if one.literal.kind in _WITHOUT_ORDER:
            other = values.setdefault(one.subject, one) if one.operator is Operator.EQUAL else one
            if other.literal != one.literal:
                return other, one
        elif isinstance(one.literal.value, (int, float)):
            low, high = _narrowed(
                ranges.get(one.subject, (_End(-math.inf, is_open=False), _End(math.inf, is_open=False))),
                one,
                one.literal.value,
            )
            ranges[one.subject] = low, high
            is_empty = low.value > high.value or (low.value == high.value and (low.is_open or high.is_open))
            if is_empty and low.set_by is not None and high.set_by is not None:
                return (high if low.set_by is one else low).set_by or one, one
    return None


def _narrowed(ends: tuple[_End, _End], one: Comparison, value: float) -> tuple[_End, _End]:
    low, high = ends
    is_open = one.operator in {Operator.MORE, Operator.LESS}
    end = _End(value, is_open, one)
    if one.operator in {Operator.EQUAL, Operator.MORE, Operator.AT_LEAST} and (value, is_open) > (
        low.value,
        low.is_open,
    ):
        low = end
    if one.operator in {Operator.EQUAL, Operator.LESS, Operator.AT_MOST} and (value, not is_open) < (
        high.value,
        not high.is_open,
    ):
        high = end
    return low, high
