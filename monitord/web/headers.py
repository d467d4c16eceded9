"""Header fields of a response. Each is checked when it is set, so that no field can corrupt or split the head."""

import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_OWNED = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"}
)

HeaderSource = Mapping[str, str] | Iterable[tuple[str, str]]


def check_field(name: str, value: str) -> None:
    """Check a field. Raises ValueError if it would corrupt the head of a message, or is set by the framework."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header field name")
    if name.lower() in _OWNED:
        raise ValueError(f"{name} is set by the framework; use force_close() or content_length")
    check_text(name, value)


def check_text(name: str, value: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not a str")
    if not is_text(value):
        raise ValueError(f"{name}: {value!r} is not a valid field value; encode it (RFC 8187)")


def is_text(value: str) -> bool:
    """Return whether this can be a field value or a reason phrase (RFC 9110 section 5.5, RFC 9112 section 4)."""
    return _VALUE.fullmatch(value) is not None and value == value.strip(" \t")


class Headers(CIMultiDict[str]):
    """The header fields of a response; each is checked when it is set."""

    def __init__(self, fields: HeaderSource = ()) -> None:
        super().__init__()
        self.extend(fields)

    def __setitem__(self, name: str, value: str) -> None:
        check_field(name, value)
        super().__setitem__(name, value)

    def add(self, name: str, value: str) -> None:
        check_field(name, value)
        super().add(name, value)

    def merge(self, fields: HeaderSource = (), **more: str) -> None:
        """Add the fields whose names are not present."""
        for name, value in (*pairs_of(fields), *more.items()):
            self.setdefault(name, value)

    def setdefault(self, name: str, default: str) -> str:
        check_field(name, default)
        return super().setdefault(name, default)

    def extend(self, fields: HeaderSource = (), **more: str) -> None:  # type: ignore[override]  # a narrower source
        for name, value in (*pairs_of(fields), *more.items()):
            self.add(name, value)

    def update(self, fields: HeaderSource = (), **more: str) -> None:  # type: ignore[override]  # a narrower source
        pairs = (*pairs_of(fields), *more.items())
        for name, value in pairs:
            check_field(name, value)
        for name in {name.lower() for name, _ in pairs}:
            self.popall(name, None)
        for name, value in pairs:
            super().add(name, value)


def pairs_of(fields: HeaderSource) -> Iterable[tuple[str, str]]:
    return fields.items() if isinstance(fields, Mapping) else fields
