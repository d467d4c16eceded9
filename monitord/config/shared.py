"""Results of reading parts of tables, shared by many tables that differ in few keys, such as those of a template."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_CACHED_RESULTS = 8
"""Results that are cached for one part: tables of one template can differ by a few overrides."""


@dataclass(frozen=True, slots=True)
class _CachedResult:
    """`keys`: all keys that were read. `values`: those of them that the table itself had."""

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
                if key not in self.values:
                    return False
                other = self.values[key]
                # Comparing is not enough: true == 1, and the same is true within lists and tables.
                are_equal_texts = isinstance(value, str) and isinstance(other, str) and value == other
                if value is not other and not are_equal_texts:
                    return False
                count += 1
        return count == len(self.values)


class SharedResults:
    """For tables that inherit the same table, and are read one after the other in one thread: see `Table.reuse`.

    After each table, call `keep` if it had no errors, else `discard`.
    """

    def __init__(self) -> None:
        self._cached: dict[Callable[..., Any], list[_CachedResult]] = {}
        self._new: list[tuple[Callable[..., Any], _CachedResult]] = []

    def find(
        self, read: Callable[..., Any], context: tuple[Any, ...], values: Mapping[str, object]
    ) -> _CachedResult | None:
        for cached in self._cached.get(read, ()):
            if cached.is_of(context, values):
                return cached
        return None

    def add(
        self,
        read: Callable[..., Any],
        context: tuple[Any, ...],
        keys: frozenset[str],
        values: Mapping[str, object],
        result: Any,
    ) -> None:
        read_values = {key: value for key, value in values.items() if key in keys}
        self._new.append((read, _CachedResult(context, keys, read_values, result)))

    def keep(self) -> None:
        """Keep the results of the last table."""
        for read, cached in self._new:
            of_read = self._cached.setdefault(read, [])
            of_read.insert(0, cached)
            del of_read[MAX_CACHED_RESULTS:]
        self._new.clear()

    def discard(self) -> None:
        """Forget the results of the last table, because reading others would not report their errors."""
        self._new.clear()
