"""A connection to a message bus (D-Bus): calls with a deadline, and signals as they come.

    connection = await BusConnection.open(system_bus_address(), hear, deadline=time.monotonic() + 5)
    (owner,) = await connection.call(BUS, "GetNameOwner", "s", (name,), "s", deadline=…)
    connection.close()

dbus-fast makes the messages and reads them. The connection is ours: that of Debian 12's version blocks while it
connects, and spins for ever when the bus hangs up during the handshake. dbus-fast need not be installed: it is
imported where a connection is opened.

Its reader is compiled and takes what it gets for well-formed. That is so: the bus lets nothing else through, and
what the peer says before it is known to be a bus is read here.
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
"""Of the handshake."""
MAX_MESSAGE_BYTES = 32 << 20
"""What is said of a hundred thousand units. The specification allows 128 MiB."""
MAX_CALLS = 16_384
"""Without an answer yet. A peer that answers none is left long before."""

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
    """Why there is no answer."""

    AWAY = "away"
    """There is no bus, it has hung up, or does not speak as one."""
    SILENT = "silent"
    """The deadline has come."""
    FORBIDDEN = "forbidden"
    """The bus, or who was asked, lets us not."""
    REFUSED = "refused"
    """Who was asked says no, or something that cannot be understood."""


class BusError(Exception):
    """`name`: that of the error as the peer calls it ("org.freedesktop.DBus.Error.UnknownObject")."""

    def __init__(self, failure: BusFailure, detail: str, name: str = "") -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.name = name


@dataclass(frozen=True, slots=True)
class BusPeer:
    """Whom to ask: a name on the bus, one of its objects, and an interface of that."""

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


Hear = Callable[[Signal], None]


def system_bus_address(environ: Mapping[str, str] = os.environ) -> str:
    """Where the system's bus listens, as libdbus has it."""
    return environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


def socket_of(address: str) -> str:
    """The Unix socket that an address names, as the kernel wants it. Raises BusError where it names none."""
    for one in address.split(";"):
        transport, _, options = one.partition(":")
        found = dict(option.partition("=")[::2] for option in options.split(","))
        if transport == "unix" and found.get("path"):
            return unquote(found["path"])
        if transport == "unix" and found.get("abstract"):
            return "\0" + unquote(found["abstract"])
    raise BusError(BusFailure.AWAY, f'"{address}" names no Unix socket')


def library_problem() -> str | None:
    """Why dbus-fast cannot be used; None: it can."""
    return import_problem("dbus_fast")


class BusConnection:
    """Open until `close`, or until the bus hangs up: then `lost` is set, and calls raise BusError.

    `name`: what the bus calls us.
    """

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._library = importlib.import_module("dbus_fast")
        self._read = importlib.import_module("dbus_fast._private.unmarshaller").Unmarshaller
        self.transport: asyncio.WriteTransport | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._serial = 0
        self.why = ""
        self.name = ""
        self.lost = asyncio.Event()

    @classmethod
    async def open(cls, address: str, hear: Hear, *, deadline: float) -> "BusConnection":
        """Connect and say hello. `hear` gets every signal; it must not block. Raises BusError, or ImportError."""
        connection = cls(hear)
        path = socket_of(address)
        where = path.replace("\0", "@")
        try:
            async with Deadline(deadline - time.monotonic()):
                try:
                    _, protocol = await asyncio.get_running_loop().create_unix_connection(
                        lambda: _Protocol(connection), path
                    )
                    await protocol.is_begun
                except OSError as error:
                    what = error.strerror or str(error)
                    raise BusError(BusFailure.AWAY, f"{where}: {what.lower()}") from error
                (connection.name,) = await connection.call(BUS, "Hello", "", (), "s", deadline=deadline)
        except TimeoutError as error:
            connection.close()
            raise BusError(BusFailure.SILENT, f"{where}: no answer") from error
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
        """The body of the answer, which has the signature `returns`. Raises BusError."""
        (answer,) = await self.call_each(peer, member, signature, [body], returns, deadline=deadline)
        return answer

    async def call_each(
        self,
        peer: BusPeer,
        member: str,
        signature: str,
        bodies: Sequence[Sequence[Any]],
        returns: str,
        *,
        deadline: float,
    ) -> list[Sequence[Any]]:
        """The same as often as there are bodies, without waiting in between. Raises the first BusError."""
        if self.transport is None or self.lost.is_set():
            raise BusError(BusFailure.AWAY, self.why or "the connection is closed")
        if len(self._calls) + len(bodies) > MAX_CALLS:
            raise BusError(BusFailure.SILENT, f"{len(self._calls)} calls wait for an answer already")
        answers = {self._next_serial(): asyncio.get_running_loop().create_future() for _ in bodies}
        self._calls |= answers
        try:
            messages = (
                self._message(peer, member, signature, body, serial)
                for serial, body in zip(answers, bodies, strict=True)
            )
            self.transport.write(b"".join(messages))
            async with Deadline(deadline - time.monotonic()):
                return [self._body_of(await answer, peer, member, returns) for answer in answers.values()]
        except TimeoutError as error:
            raise BusError(BusFailure.SILENT, f"{peer.name} does not answer {member}") from error
        finally:
            for serial in answers:
                self._calls.pop(serial, None)

    def close(self) -> None:
        """May be called twice."""
        self.lose("the connection is closed")

    # -- what the protocol calls --------------------------------------------------------------------------

    def begin(self) -> None:
        """The bus lets us in: messages from now on."""
        if self.transport is not None:
            self.transport.write(b"BEGIN\r\n")

    def lose(self, why: str) -> None:
        """It is over, and everybody who waits hears it."""
        if not self.lost.is_set():
            self.why = why
            self.lost.set()
        for call in self._calls.values():
            if not call.done():
                call.set_exception(BusError(BusFailure.AWAY, self.why))
                # Whoever waited may be cancelled in the same turn of the loop.
                call.exception()
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def take(self, raw: bytes) -> None:
        """One whole message."""
        try:
            message = self._read(io.BytesIO(raw)).unmarshall()
        except _UNREADABLE as error:
            self.lose(f"the bus sent what cannot be read: {error!r}")
            return
        kinds = self._library.MessageType
        if message.message_type is kinds.SIGNAL:
            self._hear(
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
            # Nobody calls us who would wait for an answer: what has no name and no object is not called.
            answer = self._calls.get(message.reply_serial)
            if answer is not None and not answer.done():
                answer.set_result(message)

    def _next_serial(self) -> int:
        self._serial = self._serial % 0xFFFFFFFF + 1
        return self._serial

    def _message(self, peer: BusPeer, member: str, signature: str, body: Sequence[Any], serial: int) -> bytes:
        message = self._library.Message(
            destination=peer.name,
            path=peer.path,
            interface=peer.interface,
            member=member,
            signature=signature,
            body=list(body),
            serial=serial,
            # Nothing is started for being asked: systemd that executes itself anew is not there, and that is all.
            flags=self._library.MessageFlag.NO_AUTOSTART,
        )
        return bytes(message._marshall(False))  # noqa: SLF001 - the one way to its bytes

    def _body_of(self, reply: Any, peer: BusPeer, member: str, returns: str) -> Sequence[Any]:
        if reply.message_type is self._library.MessageType.ERROR:
            name = reply.error_name or ""
            said = str(reply.body[0]) if reply.body else name
            raise BusError(_failure_of(name), f"{peer.name} {member}: {said[:200]}", name)
        if reply.signature != returns:
            raise BusError(
                BusFailure.REFUSED,
                f"{peer.name} {member}: answers {reply.signature!r} in place of {returns!r}",
            )
        body: Sequence[Any] = reply.body
        return body


def _failure_of(name: str) -> BusFailure:
    """The errors of the specification that a caller has to tell apart."""
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
    """The handshake by lines, then messages cut out of the stream by their headers."""

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection
        self._received = bytearray()
        self.is_begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.transport = transport = cast("asyncio.Transport", transport)
        # EXTERNAL: the kernel vouches for who we are, the number in hexadecimal only repeats it.
        transport.write(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        why = "the bus hung up" if exc is None else f"the bus hung up: {str(exc).lower()}"
        self._refuse(BusFailure.AWAY, why)
        self._connection.lose(why)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.is_begun.done():
            self._shake_hands()
        if self.is_begun.done() and not self._connection.lost.is_set():
            self._take_messages()

    def _shake_hands(self) -> None:
        line, end, rest = self._received.partition(b"\r\n")
        if not end:
            if len(self._received) > MAX_LINE_BYTES:
                self._refuse(BusFailure.AWAY, "no bus: what it says has no end")
        elif _HELLO.fullmatch(line):
            self._received = rest
            self._connection.begin()
            self.is_begun.set_result(None)
        elif line.startswith(b"REJECTED"):
            self._refuse(BusFailure.FORBIDDEN, "the bus does not let this user in")
        else:
            self._refuse(BusFailure.AWAY, f"no bus: it says {bytes(line[:40])!r}")

    def _refuse(self, failure: BusFailure, why: str) -> None:
        if not self.is_begun.done():
            self.is_begun.set_exception(BusError(failure, why))
            # Whoever waited may have been cancelled meanwhile.
            self.is_begun.exception()

    def _take_messages(self) -> None:
        received, at = self._received, 0
        while len(received) - at >= _HEADER.size and not self._connection.lost.is_set():
            size = _size_of(received, at)
            if size is None:
                self._connection.lose("no bus: it sent what is no message")
                break
            if len(received) - at < size:
                break
            self._connection.take(bytes(received[at : at + size]))
            at += size
        if at:
            del received[:at]


def _size_of(received: bytearray, at: int) -> int | None:
    """In bytes, by the header. None: this is none."""
    order = _ORDERS.get(received[at])
    if order is None:
        return None
    _, _, _, version, body, _, fields = struct.unpack_from(order + _HEADER.format[1:], received, at)
    size = _HEADER.size + fields + (-fields) % _ALIGNED + body
    return int(size) if version == _VERSION and size <= MAX_MESSAGE_BYTES else None
