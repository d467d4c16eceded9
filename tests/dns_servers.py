"""Name servers on the loopback: a real one (dnsmasq), and scripts that give wrong answers.

with dnsmasq("host-record=www.example.test,192.0.2.1") as port: ...

async with answering(lambda query: [servfail(query)]) as port: ...      # UDP, and nothing else
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.servers import Peer, Script, free_port

ZONE = """
local=/example.test/
host-record=www.example.test,192.0.2.1,2001:db8::1,300
host-record=www.example.test,192.0.2.2,300
txt-record=txt.example.test,hello world
cname=alias.example.test,www.example.test
mx-host=example.test,mail.example.test,10
ptr-record=1.2.0.192.in-addr.arpa,www.example.test
auth-server=ns.example.test,192.0.2.53
auth-zone=zone.test,192.0.2.0/24
auth-soa=2026112201,hostmaster.zone.test
auth-ttl=120
""" + "".join(f"txt-record=large.example.test,{number:03}{'x' * 200}\n" for number in range(20))


@contextmanager
def dnsmasq(directory: Path) -> Iterator[int]:
    """Serve `ZONE` over UDP and TCP. Yields the port."""
    port = free_port()
    config = directory / "dnsmasq.conf"
    config.write_text(
        f"port={port}\nlisten-address=127.0.0.1,::1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\n"
        f"pid-file\nuser=\ngroup=\nconf-dir=\n{ZONE}"
    )
    process = subprocess.Popen(
        ["dnsmasq", f"--conf-file={config}"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
    )
    assert process.stderr is not None
    with process.stderr as output:
        # It listens when it has logged this line.
        lines = [output.readline()]
        while lines[-1] and "started" not in lines[-1]:
            lines.append(output.readline())
        assert lines[-1], lines
        try:
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=10)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], Sequence[bytes]]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        for wire in self._answer(data):
            self._transport.sendto(wire, addr)


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], Sequence[bytes]], *, port: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """Answer each datagram with the datagrams that `answer` returns. Yields the port."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(answer), local_addr=(host, port)
    )
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def response(query: bytes, *records: str, rcode: str = "NOERROR", flags: int = 0) -> bytes:
    """Build the response to `query`; a record is "NAME TTL TYPE DATA"."""
    made = dns.message.make_response(dns.message.from_wire(query))
    made.set_rcode(dns.rcode.from_text(rcode))
    made.flags |= flags
    for record in records:
        name, ttl, kind, data = record.split(" ", 3)
        made.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return made.to_wire(max_size=65535)


def with_number(wire: bytes, offset: int) -> bytes:
    """The message with another ID."""
    number = (int.from_bytes(wire[:2], "big") + offset) % 65536
    return number.to_bytes(2, "big") + wire[2:]


async def framed(peer: Peer) -> bytes:
    """Read the next message of a stream."""
    length = int.from_bytes(await peer.reader.readexactly(2), "big")
    return await peer.reader.readexactly(length)


def answer_stream(answer: Callable[[bytes], Sequence[bytes]]) -> Script:
    """As `answering`, over TCP or TLS, with the length before each message (RFC 1035, section 4.2.2)."""

    async def script(peer: Peer) -> None:
        query = await framed(peer)
        for wire in answer(query):
            await peer.send(len(wire).to_bytes(2, "big") + wire)

    return script


def relay(port: int) -> Script:
    """Relay to the TCP port of a real server; `serve(…, tls=…)` adds TLS."""

    async def script(peer: Peer) -> None:
        query = await framed(peer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(len(query).to_bytes(2, "big") + query)
        length = await reader.readexactly(2)
        await peer.send(length, await reader.readexactly(int.from_bytes(length, "big")))
        writer.close()
        await writer.wait_closed()

    return script


TRUNCATED = dns.flags.TC
