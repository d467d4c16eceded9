"""Typed keys: what an application keeps for its handlers, with types that a checker knows."""

from typing import Generic, TypeVar

T = TypeVar("T")


class AppKey(Generic[T]):
    """A key of an application's values. Two keys are never equal, whatever their names."""

    __slots__ = ("_type", "name")

    def __init__(self, name: str, type_: type[T]) -> None:
        self.name = name
        self._type = type_

    def __repr__(self) -> str:
        return f"<AppKey {self.name}: {getattr(self._type, '__name__', self._type)}>"
