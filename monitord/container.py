"""Dependency injection with one decorator.

A subclass of `Container` has a method with `@provide` for each part. The first access to the attribute constructs the
part; later accesses return the same object. `override` sets a part before its first use, to a value of the same type,
checked by mypy. This module is independent of the program.
"""

from collections.abc import Callable
from typing import Generic, Self, TypeVar, cast, overload

T = TypeVar("T")
C = TypeVar("C", bound="Container")

_MISSING = object()


class Container:
    """The constructed parts. Subclasses define how they are constructed, with `@provide`."""

    def __init__(self) -> None:
        self._parts: dict[str, object] = {}
        self._building: list[str] = []

    def override(self, part: "provide[T]", value: T) -> None:
        """Use `value` as this part. Raises RuntimeError if the part exists, because other parts may refer to it."""
        if part.name in self._parts:
            raise RuntimeError(f"{part.name} already exists; override it before its first use")
        self._parts[part.name] = value

    def _part(self, name: str, build: Callable[[Self], object]) -> object:
        part = self._parts.get(name, _MISSING)
        if part is not _MISSING:
            return part
        if name in self._building:
            cycle = " -> ".join([*self._building[self._building.index(name) :], name])
            raise RuntimeError(f"parts depend on each other in a cycle: {cycle}")
        self._building.append(name)
        try:
            part = self._parts[name] = build(self)
        finally:
            self._building.pop()
        return part


class provide(Generic[T]):  # noqa: N801 - a decorator, like property
    """Make a method of a `Container` a part, which is constructed at its first use."""

    def __init__(self, build: Callable[..., T]) -> None:
        self._build = build
        self.name = build.__name__
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, container: None, owner: type[Container]) -> Self: ...

    @overload
    def __get__(self, container: C, owner: type[C]) -> T: ...

    def __get__(self, container: Container | None, owner: type[Container]) -> Self | T:
        if container is None:
            return self
        # The value is the result of _build or was set by override, which mypy checks to be a T.
        return cast(T, container._part(self.name, self._build))  # noqa: SLF001 - same module
