"""Typed keys: what an application keeps for its handlers, with types that a checker knows."""

from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ReadKey(Protocol[T_co]):
    """A key for reading: one of `set[str]` serves where `Iterable[str]` is wanted, as in `sorted(app[USERS])`."""

    @property
    def kind(self) -> type[T_co]: ...


class AppKey(Generic[T]):
    """A key of an application's values. Two keys are never equal, whatever their names."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: type[T]) -> None:
        self.name = name
        self.kind = kind

    def __repr__(self) -> str:
        return f"<AppKey {self.name}: {getattr(self.kind, '__name__', self.kind)}>"
