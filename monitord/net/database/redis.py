"""Client of Redis and compatible servers: RESP 2 on a stream.

Not on a library: the protocol is a page, and on `Stream` phases, limits and TLS are those of the other types.
Specification: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from collections.abc import Sequence
from dataclasses import dataclass

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.database.outcome import CLOSED_EARLY, MAX_VALUE_CHARACTERS, ServerError, ServerState, Value
from monitord.net.stream.client import Stream

MAX_DEPTH = 8
"""How deep arrays in a reply may be nested."""
MAX_NUMBER_CHARACTERS = 20
"""A signed 64-bit integer in decimal."""

_FIRST_BYTES = b"+-:$*"

Reply = str | int | bytes | None | list["Reply"]


@dataclass(frozen=True, slots=True)
class RedisRequest:
    """`user` is empty for the default user; `command` is empty for no command."""

    user: str
    password: str
    database: int
    command: Sequence[str]


async def query_redis(stream: Stream, request: RedisRequest) -> ServerState:
    """Authenticate, read the state of the server and run the command. Raises ServerError, ExchangeError or OSError."""
    if request.password:
        await _call(stream, "AUTH", *([request.user] if request.user else []), request.password)
    await _call(stream, "PING")
    if request.database:
        await _call(stream, "SELECT", str(request.database))
    try:
        info = await _call(stream, "INFO")
    except ServerError:  # not permitted for this user
        info = None
    values = _values(info if isinstance(info, bytes) else b"")
    reply = await _call(stream, *request.command) if request.command else None
    return ServerState(values, _value(reply))


async def _call(stream: Stream, *words: str) -> Reply:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        encoded = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(encoded), encoded))
    await stream.send(b"".join(parts))
    return await _reply(stream, 0)


async def _reply(stream: Stream, depth: int) -> Reply:
    line = await _line(stream)
    kind, rest = line[:1], line[1:].decode(errors="replace")
    if kind == b"+":
        return rest
    if kind == b"-":
        code, _, text = rest.partition(" ")
        raise ServerError(code, text)
    if not rest.removeprefix("-").isdecimal() or len(rest) > MAX_NUMBER_CHARACTERS:
        raise _not_redis()
    number = int(rest)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"$":
        # A string and its line end. The limit of the stream bounds the size.
        while len(stream.received) - stream.taken < number + 2:
            await _receive(stream)
        begin = stream.taken
        stream.taken = begin + number + 2
        return bytes(stream.received[begin : begin + number])
    if depth == MAX_DEPTH:
        raise ExchangeError(
            FailureKind.PROTOCOL_ERROR, f"the response has more than {MAX_DEPTH} nested arrays"
        )
    # The limit of the stream bounds the number of elements: each takes a line.
    return [await _reply(stream, depth + 1) for _ in range(number)]


async def _line(stream: Stream) -> bytes:
    while (line := stream.take_line()) is None:
        await _receive(stream)
        # A peer of another protocol may never send the end of a line.
        if stream.received[stream.taken] not in _FIRST_BYTES:
            raise _not_redis()
    if line[:1] not in {bytes([byte]) for byte in _FIRST_BYTES}:
        raise _not_redis()
    return line


async def _receive(stream: Stream) -> None:
    if not await stream.receive():
        raise ExchangeError(FailureKind.RESET, CLOSED_EARLY)


def _not_redis() -> ExchangeError:
    return ExchangeError(FailureKind.PROTOCOL_ERROR, "the response is not RESP, the protocol of Redis")


def _value(reply: Reply) -> Value | None:
    """Return a reply as a field: a number or text, or the number of elements of an array."""
    match reply:
        case list():
            return len(reply)
        case bytes():
            return reply.decode(errors="replace")[:MAX_VALUE_CHARACTERS]
        case str():
            return reply[:MAX_VALUE_CHARACTERS]
        case _:
            return reply


def _values(info: bytes) -> dict[str, Value]:
    """Read the lines of INFO; lines that are missing give no fields."""
    entries = {
        name: value.strip()
        for name, colon, value in (line.partition(":") for line in info.decode(errors="replace").splitlines())
        if colon
    }
    values: dict[str, Value] = {}
    if version := entries.get("valkey_version") or entries.get("redis_version"):
        values["version"] = version
    if role := {"master": "primary", "slave": "replica"}.get(entries.get("role", "")):
        values["replication.role"] = role
    if link := entries.get("master_link_status"):
        values["replication.running"] = link == "up"
    for field, name in (
        ("replication.last_contact", "master_last_io_seconds_ago"),
        ("replication.replicas", "connected_slaves"),
        ("connections", "connected_clients"),
        ("connections.max", "maxclients"),
        ("memory.used", "used_memory"),
        ("memory.max", "maxmemory"),
    ):
        text = entries.get(name, "")
        if text.isdecimal() and len(text) <= MAX_NUMBER_CHARACTERS:
            values[field] = int(text)
    if values.get("memory.max") == 0:  # no limit
        del values["memory.max"]
    return values
