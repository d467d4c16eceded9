"""Classes of monitor and notifier types by name, imported on first use.

A configuration uses only a few of them. Importing all of them, with their libraries, would add a tenth to the memory
and the start time of the daemon. Third-party packages add classes by entry points.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

ClassT = TypeVar("ClassT")


class LazyClasses(MutableMapping[str, type[ClassT]]):
    """Mapping of names to classes. Created from object references, "package.module:Class", as in entry points."""

    def __init__(self, references: Mapping[str, str]) -> None:
        self._classes: dict[str, str | type[ClassT]] = dict(references)

    def __getitem__(self, name: str) -> type[ClassT]:
        entry = self._classes[name]
        if isinstance(entry, str):
            module, _, class_name = entry.partition(":")
            entry = self._classes[name] = getattr(import_module(module), class_name)
        return entry

    def __setitem__(self, name: str, value: type[ClassT]) -> None:
        self._classes[name] = value

    def __delitem__(self, name: str) -> None:
        del self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes  # without an import


@cache
def _entry_points(group: str) -> Mapping[str, Any]:
    """Return the entry points of a group by name, not loaded."""
    # Imported here: it imports email and zipfile, and most configurations use only classes of monitord.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return {point.name: point for point in entry_points(group=group)}


def find_class(name: str, classes: LazyClasses[ClassT], group: str, base: type[Any]) -> type[ClassT] | None:
    """Return the class of a name, of monitord itself or by an entry point of the group; None if there is none.

    An entry point cannot replace a class of monitord. Raises TypeError if its object is not a subclass of `base` that
    has the same name, and any exception of a third-party module that cannot be loaded.
    """
    if name in classes:
        return classes[name]
    point = _entry_points(group).get(name)
    if point is None:
        return None
    loaded = point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise TypeError(f"entry point {point.value!r} is not a subclass of {group}.{base.__name__}")
    type_name = getattr(loaded, "type_name", None)
    if type_name != name:
        raise TypeError(f"{point.value!r} has type_name = {type_name!r} instead of {name!r}")
    return loaded


def class_names(classes: LazyClasses[ClassT], group: str) -> list[str]:
    """Return the names of all available classes in alphabetical order."""
    return sorted({*classes, *_entry_points(group)})
