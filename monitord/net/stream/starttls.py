"""STARTTLS in the mail protocols.

SMTP: RFC 3207, replies as in RFC 5321, section 4.2. IMAP: RFC 9051, section 6.2.1. POP3: RFC 2595, section 4.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from monitord.net.base.errors import ExchangeError, FailureKind
from monitord.net.stream.client import Stream
from monitord.text import printable, shortened

MAX_REPLY_LINES = 100
MAX_SHOWN_CHARACTERS = 100
_TAG = "a1"


class StartTlsProtocol(Enum):
    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"


async def start_tls(stream: Stream, protocol: StartTlsProtocol) -> None:
    """Request STARTTLS and do the handshake. Raises ExchangeError or OSError."""
    await _REQUESTS[protocol](stream)
    await stream.start_tls()


async def send_quit(stream: Stream, protocol: StartTlsProtocol) -> None:
    """Send QUIT or LOGOUT, so that the peer does not log a lost connection. Does not wait for the response."""
    await stream.send(_QUIT_COMMANDS[protocol])


async def _request_smtp(stream: Stream) -> None:
    _require(await _smtp_reply(stream), "220", "as its greeting")
    # RFC 5321, section 4.1.3: a client without a meaningful name uses its address.
    address = stream.local_address.partition("%")[0]
    literal = f"IPv6:{address}" if ":" in address else address
    await stream.send(f"EHLO [{literal}]\r\n".encode())
    offers = await _smtp_reply(stream)
    _require(offers, "250", "to EHLO")
    if not any(line[4:].strip().upper() == "STARTTLS" for line in offers[1:]):
        raise ExchangeError(FailureKind.PROTOCOL_ERROR, "the server does not offer STARTTLS")
    await stream.send(b"STARTTLS\r\n")
    _require(await _smtp_reply(stream), "220", "to STARTTLS")


async def _request_imap(stream: Stream) -> None:
    greeting = await _line(stream)
    if greeting.upper().startswith("* PREAUTH"):
        raise ExchangeError(
            FailureKind.PROTOCOL_ERROR,
            "the server responded PREAUTH, and STARTTLS is not possible in that state",
        )
    if not _begins(greeting, "* OK"):
        raise _rejected(greeting, "as its greeting")
    await stream.send(f"{_TAG} STARTTLS\r\n".encode())
    line = await _line(stream)
    while line.startswith("* "):  # untagged responses, limited by the stream
        line = await _line(stream)
    if not _begins(line, f"{_TAG} OK"):
        raise _rejected(line, "to STARTTLS")


async def _request_pop3(stream: Stream) -> None:
    greeting = await _line(stream)
    if not _begins(greeting, "+OK"):
        raise _rejected(greeting, "as its greeting")
    await stream.send(b"STLS\r\n")
    reply = await _line(stream)
    if not _begins(reply, "+OK"):
        raise _rejected(reply, "to STLS")


_REQUESTS: Mapping[StartTlsProtocol, Callable[[Stream], Awaitable[None]]] = {
    StartTlsProtocol.SMTP: _request_smtp,
    StartTlsProtocol.IMAP: _request_imap,
    StartTlsProtocol.POP3: _request_pop3,
}

_QUIT_COMMANDS = {
    StartTlsProtocol.SMTP: b"QUIT\r\n",
    StartTlsProtocol.IMAP: f"{_TAG}z LOGOUT\r\n".encode(),
    StartTlsProtocol.POP3: b"QUIT\r\n",
}


async def _smtp_reply(stream: Stream) -> list[str]:
    """Read a reply: the same code on each line, followed by a hyphen on all lines but the last."""
    lines: list[str] = []
    while len(lines) < MAX_REPLY_LINES:
        line = await _line(stream)
        if not (line[:3].isdigit() and line[3:4] in {"", " ", "-"}) or (lines and line[:3] != lines[0][:3]):
            raise ExchangeError(FailureKind.PROTOCOL_ERROR, f'"{_shown(line)}" is not an SMTP reply')
        lines.append(line)
        if line[3:4] != "-":
            return lines
    raise ExchangeError(
        FailureKind.TOO_LARGE, f"the server sent a reply of more than {MAX_REPLY_LINES} lines"
    )


def _require(reply: list[str], code: str, context: str) -> None:
    if reply[0][:3] != code:
        raise _rejected(reply[0], context)


async def _line(stream: Stream) -> str:
    while (line := stream.take_line()) is None:
        if not await stream.receive():
            raise ExchangeError(FailureKind.RESET, "the peer closed the connection before TLS")
    return line.decode(errors="replace")


def _begins(line: str, words: str) -> bool:
    """Return whether the line begins with these whole words, ignoring case."""
    return (line.upper() + " ").startswith(words.upper() + " ")


def _rejected(line: str, context: str) -> ExchangeError:
    return ExchangeError(FailureKind.PROTOCOL_ERROR, f'the server responded "{_shown(line)}" {context}')


def _shown(line: str) -> str:
    return shortened(printable(line), MAX_SHOWN_CHARACTERS)
