"""Results of reading parts of tables, shared by many tables that differ in few keys, as those of one template."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_KEPT = 8
"""Results that are kept of one part: tables of one template can differ by a few overrides."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """`values`: what the table itself had at `keys`, which are all keys that were read."""

    context: tuple[Any, ...]
    keys: frozenset[str]
    values: Mapping[str, object]
    result: Any

    def is_of(self, context: tuple[Any, ...], values: Mapping[str, object]) -> bool:
        if context != self.context:
            return False
        count = 0
        for key, value in values.items():
            if key in self.keys:
                if key not in self.values or not _are_same(value, self.values[key]):
                    return False
                count += 1
        return count == len(self.values)


def _are_same(value: object, other: object) -> bool:
    # Comparing is not enough: true == 1, and the same is true within lists and tables.
    return value is other or (isinstance(value, str) and isinstance(other, str) and value == other)


class SharedResults:
    """For tables that inherit the same table, and are read one after the other in one thread: see `Table.reuse`.

    After each table, call `keep` if it had no errors, else `discard`.
    """

    def __init__(self) -> None:
        self._kept: dict[Callable[..., Any], list[_Kept]] = {}
        self._new: list[tuple[Callable[..., Any], _Kept]] = []

    def find(
        self, read: Callable[..., Any], context: tuple[Any, ...], values: Mapping[str, object]
    ) -> _Kept | None:
        for kept in self._kept.get(read, ()):
            if kept.is_of(context, values):
                return kept
        return None

    def add(
        self,
        read: Callable[..., Any],
        context: tuple[Any, ...],
        keys: frozenset[str],
        values: Mapping[str, object],
        result: Any,
    ) -> None:
        own = {key: value for key, value in values.items() if key in keys}
        self._new.append((read, _Kept(context, keys, own, result)))

    def keep(self) -> None:
        """Keep the results of the last table."""
        for read, kept in self._new:
            of_read = self._kept.setdefault(read, [])
            of_read.insert(0, kept)
            del of_read[MAX_KEPT:]
        self._new.clear()

    def discard(self) -> None:
        """Forget the results of the last table, because reading others would not report their errors."""
        self._new.clear()
