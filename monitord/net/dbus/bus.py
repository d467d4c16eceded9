"""A connection to a message bus (D-Bus): method calls with a deadline, and signals.

    connection = await BusConnection.open(system_bus_address(), on_signal, deadline=time.monotonic() + 5)
    (owner,) = await connection.call(BUS, "GetNameOwner", "s", (name,), "s", deadline=…)
    connection.close()

dbus-fast builds and parses the messages. The connection is not that of dbus-fast: Debian 12's version blocks while it
connects, and loops forever if the bus closes the connection during the handshake. dbus-fast is optional: it is imported
when a connection is opened.

Its compiled parser requires well-formed messages. The bus forwards no others, and the handshake is parsed here.
"""

import asyncio
import importlib
import io
import os
import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast
from urllib.parse import unquote

from monitord.net.base.deadline import Deadline
from monitord.net.base.libraries import import_problem

MAX_LINE_BYTES = 4096
"""The limit of a line of the handshake."""
MAX_MESSAGE_BYTES = 32 << 20
"""The size of a list of a hundred thousand units. The specification allows 128 MiB."""
MAX_CALLS = 16_384
"""The limit of calls without a reply."""

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"

_HEADER = struct.Struct(
    "<BBBBIII"
)  # byte order, type, flags, version, length of the body, serial, of the fields
_ORDERS = {ord("l"): "<", ord("B"): ">"}
_VERSION = 1
_ALIGNED = 8
_HELLO = re.compile(rb"OK [0-9a-fA-F]{32}")

_UNREADABLE = (ArithmeticError, AssertionError, EOFError, LookupError, TypeError, ValueError, struct.error)


class BusFailure(Enum):
    """Why a call has no usable reply."""

    AWAY = "away"
    """There is no bus, it has closed the connection, or it does not use the protocol of a bus."""
    SILENT = "silent"
    """There was no reply within the deadline."""
    FORBIDDEN = "forbidden"
    """The bus or the called service denied access."""
    REFUSED = "refused"
    """The called service replied with an error or with an unexpected signature."""


class BusError(Exception):
    """A failed call. `name` is the D-Bus error name ("org.freedesktop.DBus.Error.UnknownObject") if there is one."""

    def __init__(self, failure: BusFailure, detail: str, name: str = "") -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.name = name


@dataclass(frozen=True, slots=True)
class BusPeer:
    """The destination of a call: a bus name, an object path, and an interface."""

    name: str
    path: str
    interface: str


BUS = BusPeer("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


@dataclass(frozen=True, slots=True)
class Signal:
    sender: str
    path: str
    interface: str
    member: str
    signature: str
    body: Sequence[Any]


OnSignal = Callable[[Signal], None]


def system_bus_address(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the system bus, as libdbus determines it."""
    return environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


def socket_of(address: str) -> str:
    """Return the Unix socket of a bus address for connect(2). Raises BusError if it has none."""
    for alternative in address.split(";"):
        transport, _, pairs = alternative.partition(":")
        options = dict(pair.partition("=")[::2] for pair in pairs.split(","))
        if transport == "unix" and options.get("path"):
            return unquote(options["path"])
        if transport == "unix" and options.get("abstract"):
            return "\0" + unquote(options["abstract"])
    raise BusError(BusFailure.AWAY, f'"{address}" names no Unix socket')


def library_problem() -> str | None:
    """Return why dbus-fast cannot be used; None if it can."""
    return import_problem("dbus_fast")


class BusConnection:
    """A connection, open until `close` or until the bus closes it: then `lost` is set, and calls raise BusError.

    `name` is the unique name that the bus has assigned. `why` is the reason of the loss.
    """

    def __init__(self, on_signal: OnSignal) -> None:
        self._on_signal = on_signal
        self._library = importlib.import_module("dbus_fast")
        self._read = importlib.import_module("dbus_fast._private.unmarshaller").Unmarshaller
        self.transport: asyncio.WriteTransport | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._serial = 0
        self.why = ""
        self.name = ""
        self.lost = asyncio.Event()

    @classmethod
    async def open(cls, address: str, on_signal: OnSignal, *, deadline: float) -> "BusConnection":
        """Connect and call Hello. `on_signal` is called with every signal and must not block.

        Raises BusError, or ImportError without dbus-fast.
        """
        connection = cls(on_signal)
        path = socket_of(address)
        shown_path = path.replace("\0", "@")
        try:
            async with Deadline(deadline - time.monotonic()):
                try:
                    _, protocol = await asyncio.get_running_loop().create_unix_connection(
                        lambda: _Protocol(connection), path
                    )
                    await protocol.is_begun
                except OSError as error:
                    problem = error.strerror or str(error)
                    raise BusError(BusFailure.AWAY, f"{shown_path}: {problem.lower()}") from error
                (connection.name,) = await connection.call(BUS, "Hello", "", (), "s", deadline=deadline)
        except TimeoutError as error:
            connection.close()
            raise BusError(BusFailure.SILENT, f"{shown_path}: no response") from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def call(
        self,
        peer: BusPeer,
        member: str,
        signature: str,
        body: Sequence[Any],
        returns: str,
        *,
        deadline: float,
    ) -> Sequence[Any]:
        """Return the body of the reply, which must have the signature `returns`. Raises BusError."""
        (reply,) = await self.call_each(peer, member, signature, [body], returns, deadline=deadline)
        return reply

    async def call_each(
        self,
        peer: BusPeer,
        member: str,
        signature: str,
        bodies: Sequence[Sequence[Any]],
        returns: str,
        *,
        deadline: float,
        starts_service: bool = False,
    ) -> list[Sequence[Any]]:
        """Call the method once for each body, without waiting in between. Raises the first BusError.

        `starts_service`: start the service of the bus name if it does not run.
        """
        if self.transport is None or self.lost.is_set():
            raise BusError(BusFailure.AWAY, self.why or "the connection is closed")
        if len(self._calls) + len(bodies) > MAX_CALLS:
            raise BusError(BusFailure.SILENT, f"{len(self._calls)} calls are waiting for a reply")
        replies = {self._next_serial(): asyncio.get_running_loop().create_future() for _ in bodies}
        self._calls |= replies
        try:
            messages = (
                self._message(peer, member, signature, body, serial, starts_service=starts_service)
                for serial, body in zip(replies, bodies, strict=True)
            )
            self.transport.write(b"".join(messages))
            async with Deadline(deadline - time.monotonic()):
                return [self._body_of(await reply, peer, member, returns) for reply in replies.values()]
        except TimeoutError as error:
            raise BusError(BusFailure.SILENT, f"{peer.name} does not reply to {member}") from error
        finally:
            for serial in replies:
                self._calls.pop(serial, None)

    def close(self) -> None:
        """Close the connection. A second call has no effect."""
        self.lose("the connection is closed")

    # -- called by the protocol ---------------------------------------------------------------------------

    def begin(self) -> None:
        """End the handshake after the authentication."""
        if self.transport is not None:
            self.transport.write(b"BEGIN\r\n")

    def lose(self, why: str) -> None:
        """Close the connection, and raise BusError in all callers."""
        if not self.lost.is_set():
            self.why = why
            self.lost.set()
        for call in self._calls.values():
            if not call.done():
                call.set_exception(BusError(BusFailure.AWAY, self.why))
                # Mark it as retrieved: the caller may be cancelled in the same iteration of the loop.
                call.exception()
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def take(self, raw: bytes) -> None:
        """Process a complete message."""
        try:
            message = self._read(io.BytesIO(raw)).unmarshall()
        except _UNREADABLE as error:
            self.lose(f"the bus sent a message that cannot be parsed: {error!r}")
            return
        kinds = self._library.MessageType
        if message.message_type is kinds.SIGNAL:
            self._on_signal(
                Signal(
                    message.sender or "",
                    message.path or "",
                    message.interface or "",
                    message.member or "",
                    message.signature,
                    message.body,
                )
            )
        elif message.message_type is not kinds.METHOD_CALL:
            # Method calls are ignored: this connection exports no objects.
            reply = self._calls.get(message.reply_serial)
            if reply is not None and not reply.done():
                reply.set_result(message)

    def _next_serial(self) -> int:
        self._serial = self._serial % 0xFFFFFFFF + 1
        return self._serial

    def _message(
        self,
        peer: BusPeer,
        member: str,
        signature: str,
        body: Sequence[Any],
        serial: int,
        *,
        starts_service: bool,
    ) -> bytes:
        flags = self._library.MessageFlag
        message = self._library.Message(
            destination=peer.name,
            path=peer.path,
            interface=peer.interface,
            member=member,
            signature=signature,
            body=list(body),
            serial=serial,
            # No call starts systemd, which has no bus name while it re-executes itself.
            flags=flags.NONE if starts_service else flags.NO_AUTOSTART,
        )
        return bytes(message._marshall(False))  # noqa: SLF001 - there is no public method

    def _body_of(self, reply: Any, peer: BusPeer, member: str, returns: str) -> Sequence[Any]:
        if reply.message_type is self._library.MessageType.ERROR:
            name = reply.error_name or ""
            text = str(reply.body[0]) if reply.body else name
            raise BusError(_failure_of(name), f"{peer.name} {member}: {text[:200]}", name)
        if reply.signature != returns:
            raise BusError(
                BusFailure.REFUSED,
                f"{peer.name} {member}: the reply has the signature {reply.signature!r} instead of {returns!r}",
            )
        body: Sequence[Any] = reply.body
        return body


def _failure_of(name: str) -> BusFailure:
    """Classify an error name of the specification."""
    kind = name.rpartition(".")[2]
    if kind in {"AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired"}:
        return BusFailure.FORBIDDEN
    if kind in {
        "ServiceUnknown",
        "NameHasNoOwner",
        "Disconnected",
        "NoServer",
        "NotActivated",
        "ShuttingDown",
    }:
        return BusFailure.AWAY
    return BusFailure.SILENT if kind in {"NoReply", "Timeout", "TimedOut"} else BusFailure.REFUSED


class _Protocol(asyncio.Protocol):
    """Parses the lines of the handshake, then splits the stream into messages by their headers."""

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection
        self._received = bytearray()
        self.is_begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.transport = transport = cast("asyncio.Transport", transport)
        # EXTERNAL: the kernel passes the credentials; the hexadecimal UID only repeats them.
        transport.write(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the bus closed the connection"
        if exc is not None:
            why += f": {str(exc).lower()}"
        self._fail(BusFailure.AWAY, why)
        self._connection.lose(why)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.is_begun.done():
            line, end, rest = self._received.partition(b"\r\n")
            if not end:
                if len(self._received) > MAX_LINE_BYTES:
                    self._fail(BusFailure.AWAY, "not a bus: the line of the handshake is too long")
            elif _HELLO.fullmatch(line):
                self._received = rest
                self._connection.begin()
                self.is_begun.set_result(None)
            elif line.startswith(b"REJECTED"):
                self._fail(BusFailure.FORBIDDEN, "the bus rejected the authentication of this user")
            else:
                self._fail(BusFailure.AWAY, f"not a bus: it responded {bytes(line[:40])!r}")
        if self.is_begun.done() and not self._connection.lost.is_set():
            self._take_messages()

    def _fail(self, failure: BusFailure, why: str) -> None:
        if not self.is_begun.done():
            self.is_begun.set_exception(BusError(failure, why))
            # Mark it as retrieved: the caller may have been cancelled.
            self.is_begun.exception()

    def _take_messages(self) -> None:
        received, at = self._received, 0
        while len(received) - at >= _HEADER.size and not self._connection.lost.is_set():
            order = _ORDERS.get(received[at])
            if order is None:
                size = None
            else:
                _, _, _, version, body, _, fields = struct.unpack_from(
                    order + _HEADER.format[1:], received, at
                )
                size = _HEADER.size + fields + (-fields) % _ALIGNED + body
                size = int(size) if version == _VERSION and size <= MAX_MESSAGE_BYTES else None
            if size is None:
                self._connection.lose("not a bus: it sent an invalid message header")
                break
            if len(received) - at < size:
                break
            self._connection.take(bytes(received[at : at + size]))
            at += size
        if at:
            del received[:at]
