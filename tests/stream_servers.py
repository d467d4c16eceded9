"""A scripted peer of a line protocol: what it sends, when it reads, where it starts TLS.

part = Part(b"220 hello\r\n", LINE, b"220 go\r\n", server_context, LINE)
async with serve(part.play) as server: ...
assert part.heard == [b"STARTTLS\r\n", b"QUIT\r\n"]
"""

import asyncio
import ssl
from enum import Enum, auto

from tests.servers import Peer


class Act(Enum):
    LINE = auto()  # read one
    END = auto()  # read until the client closes its side
    HANG = auto()
    RESET = auto()


LINE, END, HANG, RESET = Act.LINE, Act.END, Act.HANG, Act.RESET


class Part:
    def __init__(self, *acts: bytes | Act | ssl.SSLContext) -> None:
        self._acts = acts
        self.received: list[bytes] = []
        self.is_over = asyncio.Event()
        """Set when the script has ended or has failed."""

    async def play(self, peer: Peer) -> None:
        try:
            await self._play(peer)
        finally:
            self.is_over.set()

    async def _play(self, peer: Peer) -> None:
        for act in self._acts:
            if isinstance(act, bytes):
                await peer.send(act)
            elif isinstance(act, ssl.SSLContext):
                await peer.writer.start_tls(act)
            elif act is LINE:
                self.received.append(await peer.reader.readline())
            elif act is END:
                self.received.append(await peer.reader.read())
            elif act is HANG:
                await peer.hang()
            else:
                peer.reset()
