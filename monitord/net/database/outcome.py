"""The outcome of a query of a database server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitord.net.stream.client import StreamOutcome

MAX_VALUE_CHARACTERS = 1024
CLOSED_EARLY = "the peer closed the connection before its response"

Value = str | int | float | bool


class ServerError(Exception):
    """The server has responded with an error: the connection works, but the operation is rejected."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class ServerState:
    """`values`: fields by name. `value`: the result of the command; None if the server has none."""

    values: Mapping[str, Value] = field(default_factory=dict)
    value: Value | None = None


@dataclass(frozen=True, slots=True)
class DatabaseOutcome:
    """`error` is set if the server rejected an operation; `stream.failure` if the connection failed."""

    stream: StreamOutcome
    state: ServerState | None = None
    error: ServerError | None = None
