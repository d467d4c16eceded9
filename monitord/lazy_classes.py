"""Classes of monitor and notifier types by name, imported on first use.

A configuration uses only a few of them. Importing all of them, with their libraries, would add a tenth to the memory
and the start time of the daemon.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import TypeVar

ClassT = TypeVar("ClassT")


class LazyClasses(MutableMapping[str, type[ClassT]]):
    """Mapping of names to classes. Created from object references, "package.module:Class", as in entry points."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._classes: dict[str, str | type[ClassT]] = dict(places)

    def __getitem__(self, name: str) -> type[ClassT]:
        found = self._classes[name]
        if isinstance(found, str):
            module, _, class_name = found.partition(":")
            found = self._classes[name] = getattr(import_module(module), class_name)
        return found

    def __setitem__(self, name: str, found: type[ClassT]) -> None:
        self._classes[name] = found

    def __delitem__(self, name: str) -> None:
        del self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes  # without an import
