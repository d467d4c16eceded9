"""A mail server on the loopback that stores what it accepts, and rejects what a test wants (RFC 5321, 3207, 4954)."""

import asyncio
import base64
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from tests.servers import Peer, serve


@dataclass
class MailServer:
    """`answers` replaces replies, by the first words of the command: {"RCPT TO:<x@y>": "550 no such user"}."""

    answers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    user: tuple[str, str] | None = None
    port: int = 0
    commands: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    was_encrypted: bool = False
    after: str = ""
    """State of the connection after an accepted mail: "" (it continues), "hang", "close" or "reset"."""
    hangs_at_quit: bool = False
    has_got_quit: asyncio.Event = field(default_factory=asyncio.Event)
    handshake: bytes = b""
    """Sent instead of a TLS handshake, before the connection is closed."""

    async def play(self, peer: Peer) -> None:  # noqa: C901 - a branch for each behaviour
        await peer.send(b"220 mail.example.org ready\r\n")
        while line := (await peer.reader.readline()).decode().strip():
            self.commands.append(line)
            command = line.partition(" ")[0].upper()
            reply = next((text for words, text in self.answers.items() if line.startswith(words)), None)
            if command == "QUIT" and self.hangs_at_quit:
                self.has_got_quit.set()
                await peer.hang()
            if reply is not None:
                await peer.send(f"{reply}\r\n".encode())
            elif command == "DATA":
                await self._take(peer)
                if self.after == "hang":
                    await peer.hang()
                if self.after == "reset":
                    peer.reset()
                if self.after:
                    return
            elif command == "STARTTLS" and self.tls is not None:
                await peer.send(b"220 go on\r\n")
                if self.handshake:
                    await peer.send(self.handshake)
                    return
                await peer.writer.start_tls(self.tls)
                self.was_encrypted = True
            else:
                await peer.send(self._answer(command, line).encode())
            if command == "QUIT":
                return

    def _answer(self, command: str, line: str) -> str:
        if command == "EHLO":
            offers = ["mail.example.org"]
            if self.tls is not None and not self.was_encrypted:
                offers.append("STARTTLS")
            if self.user is not None:
                offers.append("AUTH PLAIN")
            return "".join(f"250{' ' if offer is offers[-1] else '-'}{offer}\r\n" for offer in offers)
        if command == "AUTH":
            given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
            return "235 welcome\r\n" if self.user == tuple(given) else "535 wrong password\r\n"
        return "221 bye\r\n" if command == "QUIT" else "250 fine\r\n"

    async def _take(self, peer: Peer) -> None:
        await peer.send(b"354 go on\r\n")
        lines: list[bytes] = []
        while (line := await peer.reader.readline()) != b".\r\n":
            if not line:  # the client has closed the connection within the mail
                raise asyncio.IncompleteReadError(b"".join(lines), None)
            lines.append(line.removeprefix(b"."))
        text = b"".join(lines)
        self.mails.append(email.message_from_bytes(text, policy=email.policy.default))
        await peer.send(b"250 queued as 4711\r\n")


def text_of(mail: EmailMessage) -> str:
    """The part of type text/plain."""
    return _part(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    """The part of type text/html."""
    return _part(mail, "html")


def _part(mail: EmailMessage, subtype: str) -> str:
    part = mail.get_body((subtype,))
    assert part is not None
    return str(part.get_content())


@asynccontextmanager
async def mail_server(
    answers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    user: tuple[str, str] | None = None,
) -> AsyncIterator[MailServer]:
    mail = MailServer(answers or {}, tls, user)
    async with serve(mail.play) as server:
        mail.port = server.port
        yield mail
        await asyncio.sleep(0)
