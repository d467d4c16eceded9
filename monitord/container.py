"""Dependency injection in one decorator: a part of a container is a method that builds it once.

A container subclass has a method under `@provide` for each part. Reading the attribute builds the part on
first use and keeps it. `override` replaces a part before that, with a value of the same type, checked by
mypy. This module knows no part of the program.
"""

from collections.abc import Callable
from typing import Generic, Self, TypeVar, cast, overload

T = TypeVar("T")
C = TypeVar("C", bound="Container")

_MISSING = object()


class Container:
    """Holds the parts built so far; subclasses say with `@provide` how each is made."""

    def __init__(self) -> None:
        self._parts: dict[str, object] = {}
        self._building: list[str] = []

    def override(self, part: "provide[T]", value: T) -> None:
        """Use `value` for this part. Raises RuntimeError when it was built already: somebody holds the old one."""
        if part.name in self._parts:
            raise RuntimeError(f"{part.name} is built already; override it before its first use")
        self._parts[part.name] = value

    def _part(self, name: str, build: Callable[[Self], object]) -> object:
        part = self._parts.get(name, _MISSING)
        if part is not _MISSING:
            return part
        if name in self._building:
            loop = " -> ".join([*self._building[self._building.index(name) :], name])
            raise RuntimeError(f"parts need each other in a loop: {loop}")
        self._building.append(name)
        try:
            part = self._parts[name] = build(self)
        finally:
            self._building.pop()
        return part


class provide(Generic[T]):  # noqa: N801 - read as a decorator, like property
    """Make a method of a `Container` a part: built on first use, then kept."""

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
        # Only _build makes the value that is kept under this name, or override, which mypy holds to T.
        return cast(T, container._part(self.name, self._build))  # noqa: SLF001 - the two halves of one mechanism
