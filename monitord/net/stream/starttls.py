"""How to go from plain text to TLS in the protocols of mail, up to the peer's consent.

SMTP: RFC 3207, replies as in RFC 5321, section 4.2. IMAP: RFC 9051, section 6.2.1. POP3: RFC 2595, section 4.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum

from monitord.net.base.errors import Ended, FailureKind
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
    """Leaves the stream in TLS, and the peer with a farewell. Raises Ended or OSError."""
    await _ASK[protocol](stream)
    await stream.start_tls()


async def say_goodbye(stream: Stream, protocol: StartTlsProtocol) -> None:
    """For the peer's log, where it would otherwise stand as a connection that was lost. Nobody waits for an answer."""
    await stream.send(_GOODBYES[protocol])


async def _ask_smtp(stream: Stream) -> None:
    _want(await _smtp_reply(stream), "220", "with its greeting")
    # RFC 5321, section 4.1.3: who has no name worth telling is its address.
    address = stream.local_address.partition("%")[0]
    literal = f"IPv6:{address}" if ":" in address else address
    await stream.send(f"EHLO [{literal}]\r\n".encode())
    offers = await _smtp_reply(stream)
    _want(offers, "250", "to EHLO")
    if not any(line[4:].strip().upper() == "STARTTLS" for line in offers[1:]):
        raise Ended(FailureKind.PROTOCOL_ERROR, "the server does not offer STARTTLS")
    await stream.send(b"STARTTLS\r\n")
    _want(await _smtp_reply(stream), "220", "to STARTTLS")


async def _ask_imap(stream: Stream) -> None:
    greeting = await _line(stream)
    if greeting.upper().startswith("* PREAUTH"):
        raise Ended(
            FailureKind.PROTOCOL_ERROR, "the server takes us for logged in, and allows no STARTTLS then"
        )
    if not _begins(greeting, "* OK"):
        raise _refused(greeting, "with its greeting")
    await stream.send(f"{_TAG} STARTTLS\r\n".encode())
    line = await _line(stream)
    while line.startswith("* "):  # news of the server, as many as a stream may bring
        line = await _line(stream)
    if not _begins(line, f"{_TAG} OK"):
        raise _refused(line, "to STARTTLS")


async def _ask_pop3(stream: Stream) -> None:
    greeting = await _line(stream)
    if not _begins(greeting, "+OK"):
        raise _refused(greeting, "with its greeting")
    await stream.send(b"STLS\r\n")
    answer = await _line(stream)
    if not _begins(answer, "+OK"):
        raise _refused(answer, "to STLS")


_ASK: Mapping[StartTlsProtocol, Callable[[Stream], Awaitable[None]]] = {
    StartTlsProtocol.SMTP: _ask_smtp,
    StartTlsProtocol.IMAP: _ask_imap,
    StartTlsProtocol.POP3: _ask_pop3,
}

_GOODBYES = {
    StartTlsProtocol.SMTP: b"QUIT\r\n",
    StartTlsProtocol.IMAP: f"{_TAG}z LOGOUT\r\n".encode(),
    StartTlsProtocol.POP3: b"QUIT\r\n",
}


async def _smtp_reply(stream: Stream) -> list[str]:
    """ "250-one", "250-two", "250 three": the same code on each line, and a hyphen on all but the last."""
    lines: list[str] = []
    while len(lines) < MAX_REPLY_LINES:
        line = await _line(stream)
        if not (line[:3].isdigit() and line[3:4] in {"", " ", "-"}) or (lines and line[:3] != lines[0][:3]):
            raise Ended(FailureKind.PROTOCOL_ERROR, f'"{_shown(line)}" is no reply of SMTP')
        lines.append(line)
        if line[3:4] != "-":
            return lines
    raise Ended(FailureKind.TOO_LARGE, f"a reply of more than {MAX_REPLY_LINES} lines")


def _want(reply: list[str], code: str, to_what: str) -> None:
    if reply[0][:3] != code:
        raise _refused(reply[0], to_what)


async def _line(stream: Stream) -> str:
    while (line := stream.take_line()) is None:
        if not await stream.receive():
            raise Ended(FailureKind.RESET, "the peer closed the connection before TLS")
    return line.decode(errors="replace")


def _begins(line: str, words: str) -> bool:
    """These words, in capitals or not, and no longer word."""
    return (line.upper() + " ").startswith(words.upper() + " ")


def _refused(line: str, to_what: str) -> Ended:
    return Ended(FailureKind.PROTOCOL_ERROR, f'the server answered "{_shown(line)}" {to_what}')


def _shown(line: str) -> str:
    return shortened(printable(line), MAX_SHOWN_CHARACTERS)
