"""Typed keys for the values of an application."""

from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ReadKey(Protocol[T_co]):
    """A key for reading. It is covariant: a key of `set[str]` is accepted as a key of `Iterable[str]`."""

    @property
    def kind(self) -> type[T_co]: ...


class AppKey(Generic[T]):
    """A key of an application's values. Two keys are never equal, even with equal names."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: type[T]) -> None:
        self.name = name
        self.kind = kind

    def __repr__(self) -> str:
        return f"<AppKey {self.name}: {getattr(self.kind, '__name__', self.kind)}>"
