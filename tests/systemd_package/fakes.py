"""A service manager and a journal as datagram sockets that tests read, or do not."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

LARGEST_DATAGRAM = 1 << 20


class DatagramServer:
    """Bound to a path, or to an abstract address that begins with NUL. Datagrams wait until they are read."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = self._bind()

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bound.bind(self.address)
        return bound

    def start(self) -> None:
        self.socket = self._bind()

    def stop(self) -> None:
        self.socket.close()
        if not self.address.startswith("\0"):
            Path(self.address).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def datagrams(self) -> list[bytes]:
        """All waiting datagrams."""
        waiting = []
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(self.socket.recv(LARGEST_DATAGRAM))
        return waiting

    async def next_datagram(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, LARGEST_DATAGRAM)

    def is_full(self) -> bool:
        """Whether a sender would wait now."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(b"MESSAGE=is there room\n", self.address)
            except BlockingIOError:
                return True
        return False


class FakeManager(DatagramServer):
    def notifications(self) -> list[str]:
        return [datagram.decode() for datagram in self.datagrams()]


class FakeJournal(DatagramServer):
    def records(self) -> list[dict[str, str]]:
        return [decode_record(datagram) for datagram in self.datagrams()]

    async def records_until(self, is_last: Callable[[dict[str, str]], bool]) -> list[dict[str, str]]:
        records: list[dict[str, str]] = []
        while not records or not is_last(records[-1]):
            records.append(decode_record(await self.next_datagram()))
        return records


def decode_record(datagram: bytes) -> dict[str, str]:
    """Decode an entry like journald, but reject repeated names and wrong lengths."""
    fields: dict[str, str] = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size, rest = int.from_bytes(rest[:8], "little"), rest[8:]
            value, end, rest = rest[:size], rest[size : size + 1], rest[size + 1 :]
            assert len(value) == size
            assert end == b"\n"
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields
